"""Videos of samples as arrays, with errors that name the file; the reader is `src.core.media_io`.

Legend: T frames, H height, W width, C = 3 channels (RGB, uint8, 0..255).
"""

import io
from pathlib import Path

import numpy as np

from src.core.media_io.errors import MediaError
from src.core.media_io.video import Video
from src.core.media_io.video import read_video as read
from src.core.media_io.video_writer import encode_video, write_video

__all__ = ["DecodeError", "Video", "codec_round_trip", "encode_video", "read_video", "write_video"]


class DecodeError(ValueError):
    """A media file that cannot be decoded; the message is one line that names the file and the reason."""


def read_video(path: str | Path, *, max_frames: int | None = None) -> Video:
    """Decode a video, or a still image (one frame, fps 0).

    Raises:
        DecodeError: the file is missing, unreadable, damaged, shorter than its header promises, has no video
            stream or no frames, or its frames change size.
    """
    try:
        return read(path, max_frames=max_frames)
    except MediaError as error:
        raise DecodeError(f"{path}: {error}") from None


def codec_round_trip(frames_THWC: np.ndarray, fps: float, *, crf: int) -> np.ndarray:
    """Return the frames after encoding and decoding with H.264 at `crf`: uint8, same shape."""
    buffer = io.BytesIO()
    encode_video(buffer, frames_THWC, fps, crf)
    return read(buffer.getvalue()).frames_THWC
