"""Read and write video through PyAV: uint8 arrays, H.264 files, still images.

Legend: T frames, H height, W width, C = 3 channels (RGB, uint8, 0..255).
"""

import io
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np

from src.core.media_writer import X264_PARAMS


class DecodeError(ValueError):
    """A media file that cannot be decoded; the message is one line that names the file and the reason."""


@dataclass(frozen=True)
class Video:
    """`frames_THWC` uint8 RGB; `fps` frames per second (0.0 for a still image)."""

    frames_THWC: np.ndarray
    fps: float


def read_video(path: str | Path, *, max_frames: int | None = None) -> Video:
    """Decode a video, or a still image (one frame, fps 0).

    Raises:
        DecodeError: the file is missing, unreadable, truncated, has no video stream or no frames, or its
            frames change size.
    """
    path = Path(path)
    if not path.is_file():
        raise DecodeError(f"{path}: no such file")
    return _decode(str(path), str(path), max_frames)


def _decode(source: str | BinaryIO, name: str, max_frames: int | None) -> Video:
    frames = []
    try:
        with av.open(source, metadata_errors="replace") as container:
            if not container.streams.video:
                raise DecodeError(f"{name}: has no video stream")
            stream = container.streams.video[0]
            stream.thread_type = "NONE"  # faster for small videos, and repeatable
            rate = stream.average_rate or stream.guessed_rate
            for frame in container.decode(stream):
                frames.append(frame.to_ndarray(format="rgb24"))
                if len(frames) == max_frames:
                    break
            still = container.format.name.endswith(("_pipe", "image2")) and len(frames) == 1
    except av.FFmpegError as error:
        after = f" after frame {len(frames)}" if frames else ""
        raise DecodeError(f"{name}: cannot be decoded{after} ({error.strerror})") from None
    except (ValueError, OSError) as error:  # PyAV raises bare ValueErrors for odd containers
        raise error if isinstance(error, DecodeError) else DecodeError(f"{name}: {error}") from None
    if not frames:
        raise DecodeError(f"{name}: contains no frames")
    if len({frame.shape for frame in frames}) > 1:
        raise DecodeError(f"{name}: frames change size within the video")
    if not still and not rate:
        raise DecodeError(f"{name}: has no frame rate")
    return Video(np.stack(frames), 0.0 if still else float(rate))


def encode_video(target: str | BinaryIO, frames_THWC: np.ndarray, fps: float, *, crf: int = 18) -> None:
    """Encode H.264 in MP4 (libx264, preset medium, one thread).

    Equal frames give equal bytes. Even sizes are stored as yuv420p, which every player reads, odd ones as
    yuv444p.

    Args:
        target: a path or a writable, seekable binary file.
        frames_THWC: uint8 RGB.
        fps: frames per second, > 0; stored as a fraction with a denominator up to 1001.
        crf: constant rate factor, 0 (lossless) to 51; 18 is visually near lossless.
    """
    if frames_THWC.dtype != np.uint8 or frames_THWC.ndim != 4 or frames_THWC.shape[-1] != 3:
        raise ValueError(f"frames: expected uint8 [T,H,W,3], got {frames_THWC.dtype} {frames_THWC.shape}")
    if not len(frames_THWC):
        raise ValueError("frames: expected at least one frame")
    if not fps > 0:
        raise ValueError(f"fps: must be positive, got {fps}")
    _, height, width, _ = frames_THWC.shape
    options = {"crf": str(crf), "preset": "medium", "threads": "1", "x264-params": X264_PARAMS}
    # the index goes first, so that browsers start playing at once; libav can move it only in a real file
    flags = {"movflags": "faststart"} if isinstance(target, str) else {}
    with av.open(target, "w", format="mp4", options=flags) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv420p" if height % 2 == 0 and width % 2 == 0 else "yuv444p"
        for frame_HWC in frames_THWC:
            image = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24")
            container.mux(stream.encode(image))
        container.mux(stream.encode())


def write_video(path: str | Path, frames_THWC: np.ndarray, fps: float, *, crf: int = 18) -> None:
    """Write an MP4 file; see `encode_video`."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    encode_video(str(path), frames_THWC, fps, crf=crf)


def codec_round_trip(frames_THWC: np.ndarray, fps: float, *, crf: int) -> np.ndarray:
    """Return the frames after encoding and decoding with H.264 at `crf`: uint8, same shape."""
    buffer = io.BytesIO()
    encode_video(buffer, frames_THWC, fps, crf=crf)
    buffer.seek(0)
    return _decode(buffer, "round trip", None).frames_THWC
