"""Animated previews, GIF and WebP, through Pillow; frames are kept until the end."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PREVIEW_TYPES = {".gif": "GIF", ".webp": "WEBP"}
_UNIT_MS = {"GIF": 10, "WEBP": 1}  # formats store durations in these units


@contextmanager
def preview_writer(
    target: Path | BinaryIO, suffix: str, fps: float
) -> Iterator[Callable[[NDArray[np.uint8]], None]]:
    """Yield a function that adds a frame to a looping animation; a single frame makes a still image."""
    images: list[Image.Image] = []
    yield lambda frame_HWC: images.append(Image.fromarray(np.ascontiguousarray(frame_HWC)))
    if not images:
        raise ValueError("frames: expected at least one frame")
    kind = PREVIEW_TYPES[suffix]
    options = {"quality": 80, "method": 4} if kind == "WEBP" else {}
    durations = frame_durations(len(images), fps, _UNIT_MS[kind])
    images[0].save(
        target, kind, save_all=True, append_images=images[1:], duration=durations, loop=0, **options
    )


def frame_durations(num_frames: int, fps: float, unit_ms: int) -> list[int]:
    """Return milliseconds in multiples of a unit whose sums stay within half a unit of the exact times."""
    edges = [unit_ms * round(1000 * n / fps / unit_ms) for n in range(num_frames + 1)]
    return [after - before for before, after in pairwise(edges)]


def encode_preview(video_THWC: NDArray[np.uint8], fps: float, suffix: str = ".gif") -> bytes:
    """Return the bytes of an animated preview."""
    buffer = io.BytesIO()
    with preview_writer(buffer, suffix, fps) as write:
        for frame_HWC in video_THWC:
            write(frame_HWC)
    return buffer.getvalue()
