"""The media transformer, shared across image, video and audio."""
