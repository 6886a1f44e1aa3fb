"""Pairs of clips: copies that were changed on the way, and different clips of the same kind.

Legend: T frames, H height, W width, C = 3 (RGB, uint8).
"""

import cv2
import numpy as np

from data.curation.truth.overlays import add_text
from data.curation.truth.samples import make_scene


def make_pair(
    rng: np.random.Generator, duplicate: bool, strength: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return two clips; a duplicate is resized, cropped, recolored, trimmed or marked (times strength).

    One duplicate in four is mirrored, too.
    """
    first = make_scene(rng)
    if not duplicate:
        return first, make_scene(rng)
    copy = first
    for _ in range(int(rng.integers(1, 3))):
        copy = (_crop, _recolor, _trim, _mark, _shrink)[rng.integers(5)](copy, rng, strength)
    if rng.random() < 0.25:
        copy = np.ascontiguousarray(copy[:, :, ::-1])
    return first, copy


def _crop(frames_THWC: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    height, width = frames_THWC.shape[1:3]
    margins = rng.uniform(0.01, 0.06, 4) * strength
    top, left = round(height * margins[0]), round(width * margins[1])
    bottom, right = height - round(height * margins[2]), width - round(width * margins[3])
    part = frames_THWC[:, top:bottom, left:right]
    return np.stack([cv2.resize(frame, (width, height)) for frame in part])


def _recolor(frames_THWC: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    gain = 1 + strength * rng.uniform(-0.2, 0.2, 3) * 0.5 + strength * rng.uniform(-0.15, 0.15)
    return np.clip(frames_THWC * gain + strength * rng.uniform(-12, 12), 0, 255).astype(np.uint8)


def _trim(frames_THWC: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    longest = max(1, round(len(frames_THWC) * min(0.3 * strength, 0.8)))
    return frames_THWC[int(rng.integers(0, longest + 1)) :]


def _mark(frames_THWC: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    return add_text(frames_THWC, rng, max(6, round(12 * strength)))


def _shrink(frames_THWC: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    scale = 1 - rng.uniform(0.1, 0.4) * min(strength, 2)
    height, width = (2 * round(side * scale / 2) for side in frames_THWC.shape[1:3])
    return np.stack(
        [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames_THWC]
    )
