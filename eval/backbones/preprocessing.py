"""Sampling, cropping and normalization of frames and windows of audio for networks.

Legend: T frames, H height, W width, C = 3; S samples.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from eval.backbones.extractor import uniform_indices
from eval.core.frame_source import Frame, StreamInfo
from eval.core.frame_tasks import FrameTask

CROPPING = "shorter side to size (PIL {}), center crop"


def sampled_indices(num_frames: int, num_samples: int) -> NDArray[np.int64] | None:
    """Return the numbers of at most `num_samples` evenly spaced frames; None if all are meant (0)."""
    return uniform_indices(num_frames, num_samples) if num_samples else None


def num_resampled(info: StreamInfo, fps: float) -> int:
    """Return the number of frames that `resampled` passes on."""
    if not fps:
        return info.num_frames
    if not info.fps:
        raise ValueError(f"a still image cannot be resampled to {fps:g} frames per second")
    return max(1, round(info.num_frames * fps / info.fps))


def resampled(fps: float, task: FrameTask) -> FrameTask:
    """Pass on to a task the frame on the screen every 1 / fps seconds; 0 passes all on as decoded.

    After the last frame it is passed on until the task has what it needs or its time is over.
    """
    next(task)
    shown: Frame | None = None
    number, period = 0, 0.0
    try:
        while (frame := (yield)) is not None:
            if not fps:
                task.send(frame)
                continue
            while shown is not None and number / fps < frame.time_s - 1e-6:  # 1e-6: rounding of the division
                task.send(shown)
                number += 1
            period = frame.time_s - shown.time_s if shown is not None else 1 / fps
            shown = frame
        while fps and shown is not None and number / fps < shown.time_s + period - 1e-6:
            task.send(shown)
            number += 1
        task.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("the task expected more frames after the last one")


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
