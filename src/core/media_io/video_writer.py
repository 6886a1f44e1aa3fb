"""Write videos: tagged colors, exact rates, audio in sync, equal frames to equal bytes, index in front.

Legend: T frames, H height, W width, C = 3 channels (RGB, uint8).
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from numpy.typing import NDArray

from src.core.atomic import atomic_write
from src.core.media_io.audio import Audio
from src.core.media_io.encoder_tracks import CONTAINERS, AudioTrack, VideoTrack
from src.core.media_io.preview_writer import PREVIEW_TYPES, preview_writer

WriteFrame = Callable[[NDArray[np.uint8]], None]

VIDEO_SUFFIXES = (*CONTAINERS, *PREVIEW_TYPES)


def write_video(
    path: Path | str,
    video_THWC: NDArray[np.uint8],
    fps: float,
    crf: int = 12,
    *,
    lossless: bool = False,
    audio: Audio | None = None,
    max_gop: int = 0,
) -> None:
    """Write an RGB video; see `video_writer`."""
    check_frames(video_THWC, fps)
    height, width = video_THWC.shape[1:3]
    with video_writer(
        path, height, width, fps, crf, lossless=lossless, audio=audio, max_gop=max_gop
    ) as write:
        for frame_HWC in video_THWC:
            write(frame_HWC)


def encode_video(
    file: BinaryIO,
    video_THWC: NDArray[np.uint8],
    fps: float,
    crf: int = 12,
    *,
    suffix: str = ".mp4",
    lossless: bool = False,
    audio: Audio | None = None,
    max_gop: int = 0,
) -> None:
    """Write an RGB video into a binary file; see `video_writer`."""
    with tempfile.TemporaryDirectory() as folder:  # libav moves the index to the front of real files only
        path = Path(folder) / f"video{suffix}"
        write_video(path, video_THWC, fps, crf, lossless=lossless, audio=audio, max_gop=max_gop)
        with path.open("rb") as written:
            shutil.copyfileobj(written, file)


def check_frames(video_THWC: NDArray[Any], fps: float) -> None:
    """Raise ValueError for an array that is no video, or an impossible rate."""
    if video_THWC.dtype != np.uint8 or video_THWC.ndim != 4 or video_THWC.shape[-1] != 3:
        raise ValueError(f"frames: expected uint8 [T,H,W,3], got {video_THWC.dtype} {video_THWC.shape}")
    if not len(video_THWC):
        raise ValueError("frames: expected at least one frame")
    if not fps > 0:
        raise ValueError(f"fps: must be positive, got {fps}")


@contextmanager
def video_writer(
    path: Path | str,
    height: int,
    width: int,
    fps: float,
    crf: int = 12,
    *,
    lossless: bool = False,
    audio: Audio | None = None,
    lossless_audio: bool = False,
    max_gop: int = 0,
) -> Iterator[WriteFrame]:
    """Yield a function that writes an RGB video frame by frame; the file appears complete, or not at all.

    The suffix chooses: .mp4, .mov and .mkv hold H.264 and AAC, .webm VP9 and Opus, .gif and .webp previews
    without audio. Even sizes are stored as yuv420p, which every player reads, odd ones as yuv444p. One
    encoder thread, no macroblock tree and bit-exact muxing, so that equal frames give equal bytes.

    Args:
        fps: frames per second, > 0; stored as a fraction with a denominator of up to 1001.
        crf: quality of H.264, 0 to 51, or VP9, 0 to 63. 12 is visually lossless even at 32 pixels.
        lossless: RGB without loss: FFV1 and FLAC in .mkv, H.264 in RGB (qp 0) and FLAC in .mp4.
        audio: written in sync from the first frame on, as long as it is.
        lossless_audio: FLAC of 24 bits also with lossy video; .webm has none.
        max_gop: frames from one key frame to the next at most, for reading in the middle; 0 leaves it to the
            encoder.

    Raises:
        ValueError: an unknown suffix, or what the file type cannot hold.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if not fps > 0:
        raise ValueError(f"fps: must be positive, got {fps}")
    if suffix in PREVIEW_TYPES:
        if audio is not None:
            raise ValueError(f"{path.name}: {suffix} holds no audio")
        with atomic_write(path) as temporary, preview_writer(temporary, suffix, fps) as write:
            yield write
        return
    if suffix not in CONTAINERS:
        raise ValueError(f"{path.name}: unknown video type; known: {', '.join(VIDEO_SUFFIXES)}")
    if (lossless or lossless_audio) and suffix == ".webm":
        raise ValueError(f"{path.name}: what is lossless needs .mkv, .mp4 or .mov")
    kind = CONTAINERS[suffix]
    options = {"fflags": "+bitexact"}
    if kind.muxer in {"mp4", "mov"}:
        options["movflags"] = "+faststart+write_colr"
    with (
        atomic_write(path) as temporary,
        av.open(str(temporary), "w", format=kind.muxer, options=options) as container,
    ):
        rate = Fraction(fps).limit_denominator(1001)
        video = VideoTrack(container, kind, height, width, rate, crf, lossless, max_gop)
        track = None if audio is None else AudioTrack(container, kind, audio, lossless or lossless_audio)

        def write(frame_HWC: NDArray[np.uint8]) -> None:
            video.write(frame_HWC)
            if track is not None:
                track.write_until(float(video.num_frames / rate))

        yield write
        video.finish()
        if track is not None:
            track.finish()
