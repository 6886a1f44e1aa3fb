"""Sampling, cropping and normalization of frames and windows of audio for networks.

Legend: T frames, H height, W width, C = 3; S samples.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from eval.backbones.extractor import uniform_indices
from eval.core.video import Video

CROPPING = "shorter side to size (PIL {}), center crop"


def sample_frames(frames_THWC: np.ndarray, num_frames: int) -> np.ndarray:
    """Return at most `num_frames` evenly spaced frames; 0 means all."""
    return frames_THWC[uniform_indices(len(frames_THWC), num_frames)] if num_frames else frames_THWC


def resample_frames(video: Video, fps: float) -> np.ndarray:
    """Return the frames shown every 1 / fps seconds (nearest earlier frame); 0 returns them as decoded.

    Raises:
        ValueError: the video is a still image.
    """
    if not fps:
        return video.frames_THWC
    if not video.fps:
        raise ValueError(f"a still image cannot be resampled to {fps:g} frames per second")
    count = max(1, round(len(video.frames_THWC) * fps / video.fps))
    index = np.floor(np.arange(count) * video.fps / fps + 1e-6).astype(int)  # 1e-6: rounding of the division
    return video.frames_THWC[np.minimum(index, len(video.frames_THWC) - 1)]


def window_starts(length: int, padded_window: int, count: int) -> NDArray[np.int64]:
    """Return the starts of `count` evenly spaced windows from start to end; a single one is centered."""
    last = max(length - padded_window, 0)
    return np.array([last // 2]) if count == 1 else np.linspace(0, last, count).round().astype(np.int64)


def center_crop(
    frames_THWC: NDArray[np.uint8], size: int, resample: Image.Resampling = Image.Resampling.BICUBIC
) -> NDArray[np.uint8]:
    """Return [T, size, size, 3]: the center crop after resizing the shorter side to `size`."""
    height, width = frames_THWC.shape[1:3]
    factor = size / min(height, width)
    width, height = max(size, round(width * factor)), max(size, round(height * factor))
    x, y = (width - size) // 2, (height - size) // 2
    box = (x, y, x + size, y + size)
    images = (Image.fromarray(frame).resize((width, height), resample).crop(box) for frame in frames_THWC)
    return np.stack([np.asarray(image) for image in images])


def normalize(frames_THWC: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """Return float32 [T, 3, H, W]: (x / 255 - mean) / std."""
    pixels = (frames_THWC.astype(np.float32) / 255 - np.float32(mean)) / np.float32(std)
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 1), np.float32)


def padded_window(mono_S: np.ndarray, start: int, length: int) -> np.ndarray:
    """Return float32 [length] from `start` on, padded with silence at the end."""
    window = mono_S[start : start + length].astype(np.float32)
    return np.pad(window, (0, length - len(window)))
