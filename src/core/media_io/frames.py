"""Frames with presentation times, and their resampling by time.

Legend: H, W as displayed; C = 3 (RGB, uint8).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from src.core.media_io.errors import MediaError

_ROUNDING_S = 1e-6
_SQUARE = 1e-3  # pixels whose aspect differs less from 1 are square


@dataclass(frozen=True)
class Frame:
    """One image, as a viewer sees it: upright, SDR, deinterlaced, alpha on white.

    `time_s` counts from the first frame of the video, as the audio's clock does. Frames of one `segment`
    follow each other in time; the next segment begins where the clock jumps or frames were corrupt. `native`
    is PyAV's decoded frame if its planes are what is shown but for the conversion to RGB.
    """

    rgb_HWC: np.ndarray
    time_s: float
    duration_s: float = 0.0
    segment: int = 0
    native: Any = None


def square_pixels(rgb_HWC: np.ndarray, pixel_aspect: float) -> np.ndarray:
    """Return a frame as wide as it is displayed, an even number of pixels; square ones stay as they are."""
    if abs(pixel_aspect - 1) < _SQUARE:
        return rgb_HWC
    height, width = rgb_HWC.shape[:2]
    size = max(2 * round(width * pixel_aspect / 2), 2), height
    return np.array(Image.fromarray(rgb_HWC).resize(size, Image.Resampling.LANCZOS))


def resample_frames(
    frames: Iterator[Frame],
    fps: float,
    start_s: float = 0.0,
    end_s: float | None = None,
    tolerance_s: float = _ROUNDING_S,
) -> Iterator[Frame]:
    """Resample frames to a fixed rate: at each time start_s + n / fps the frame on the screen.

    A frame stays until the next one, the last frame of a segment for its own duration (1 / fps if unknown).
    Between segments there are no frames. Works for variable rates. A MediaError of `frames` comes after the
    last frame before it.

    Args:
        end_s: times from here on are left out.
        tolerance_s: how late a frame may be for its tick; containers round times (Matroska to 1 ms).
    """
    late_s = max(_ROUNDING_S, min(tolerance_s, 0.25 / fps))
    current: Frame | None = None
    fault: MediaError | None = None
    tick = 0
    try:
        for frame in frames:
            if current is not None:
                same = frame.segment == current.segment
                until_s = frame.time_s - late_s if same else _end_of(current, fps) - late_s
                shown, tick = _ticks(current, tick, fps, start_s, until_s, end_s)
                yield from shown
                if not same:
                    tick = max(tick, math.ceil((frame.time_s - late_s - start_s) * fps))
            current = frame
    except MediaError as error:
        fault = error
    if current is not None:
        until_s = max(_end_of(current, fps) - late_s, current.time_s)
        yield from _ticks(current, tick, fps, start_s, until_s, end_s)[0]
    if fault is not None:
        raise fault


def _end_of(frame: Frame, fps: float) -> float:
    """Return when a frame without a next one leaves the screen."""
    return frame.time_s + (frame.duration_s or 1 / fps)


def _ticks(
    frame: Frame, tick: int, fps: float, start_s: float, until_s: float, end_s: float | None
) -> tuple[list[Frame], int]:
    """Return the frame at each tick from `tick` on before `until_s`, and the next tick."""
    until_s = until_s if end_s is None else min(until_s, end_s - _ROUNDING_S)
    shown = []
    while start_s + tick / fps < until_s:
        shown.append(replace(frame, time_s=start_s + tick / fps, duration_s=1 / fps))
        tick += 1
    return shown, tick
