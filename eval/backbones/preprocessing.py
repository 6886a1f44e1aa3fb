"""Frames and windows for networks: which of them, how large, how fast.

Legend: T frames, H height, W width, C = 3; S samples.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from eval.backbones.extractor import spread
from eval.core.video import Video

CROPPING = "shorter side to size (PIL {}), middle square"


def chosen(frames_THWC: np.ndarray, wanted: int) -> np.ndarray:
    """At most `wanted` frames, evenly over the film; all for 0."""
    return frames_THWC[spread(len(frames_THWC), wanted)] if wanted else frames_THWC


def at_rate(video: Video, fps: float) -> np.ndarray:
    """The frames that are on the screen every 1 / fps seconds; as they are for 0.

    Raises:
        ValueError: for a still picture.
    """
    if not fps:
        return video.frames_THWC
    if not video.fps:
        raise ValueError(f"a still picture has no frames at {fps:g} per second")
    count = max(1, round(len(video.frames_THWC) * fps / video.fps))
    index = np.floor(np.arange(count) * video.fps / fps + 1e-6).astype(int)
    return video.frames_THWC[np.minimum(index, len(video.frames_THWC) - 1)]


def starts(length: int, window: int, count: int) -> NDArray[np.int64]:
    """Where `count` windows begin, evenly from the start to the end; one alone lies in the middle."""
    last = max(length - window, 0)
    return np.array([last // 2]) if count == 1 else np.linspace(0, last, count).round().astype(np.int64)


def cropped(
    frames_THWC: NDArray[np.uint8], size: int, resample: Image.Resampling = Image.Resampling.BICUBIC
) -> NDArray[np.uint8]:
    """[T, size, size, 3]: the middle square after the shorter side became `size`."""
    height, width = frames_THWC.shape[1:3]
    factor = size / min(height, width)
    wide, high = max(size, round(width * factor)), max(size, round(height * factor))
    x, y = (wide - size) // 2, (high - size) // 2
    box = (x, y, x + size, y + size)
    pictures = (Image.fromarray(frame).resize((wide, high), resample).crop(box) for frame in frames_THWC)
    return np.stack([np.asarray(each) for each in pictures])


def normalised(frames_THWC: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """float32 [T, 3, H, W]: (x / 255 - mean) / std."""
    pixels = (frames_THWC.astype(np.float32) / 255 - np.float32(mean)) / np.float32(std)
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 1), np.float32)


def window(mono_S: np.ndarray, start: int, length: int) -> np.ndarray:
    """[length] float32; what the sound is too short for is silence."""
    part = mono_S[start : start + length].astype(np.float32)
    return np.pad(part, (0, length - len(part)))
