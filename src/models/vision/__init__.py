"""Encoders of video frames, and their features at the times of audio latents."""
