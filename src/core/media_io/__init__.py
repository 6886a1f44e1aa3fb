"""One reader and one writer of videos, audio and images, through PyAV, Pillow and soxr; see docs/media.md."""
