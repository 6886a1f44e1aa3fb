"""Images for constructed scenes: noise of natural spectrum with shapes, and photographs inside packages.

Legend: H height, W width, C = 3 (RGB, uint8).
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from PIL import Image


def make_texture(rng: np.random.Generator, side: int, photo_fraction: float = 0.4) -> np.ndarray:
    """Return an image [side, side, C]: a part of a photograph, or colored noise with shapes on it."""
    if rng.random() < photo_fraction:
        return _photo_part(rng, side)
    image = _spectral_noise(rng, side)
    for _ in range(rng.integers(side // 40, side // 12)):
        _draw_shape(image, rng)
    return image


def _spectral_noise(rng: np.random.Generator, side: int) -> np.ndarray:
    """Return noise in octaves, whose amplitude falls with the frequency as in natural images."""
    fall = rng.uniform(0.4, 0.9)
    image = np.zeros((side, side, 3), np.float32)
    size = 3
    while size < side:
        octave = rng.standard_normal((size, size, 3), np.float32)
        image += cv2.resize(octave, (side, side), interpolation=cv2.INTER_CUBIC) * (3 / size) ** fall
        size *= 2
    colors = rng.uniform(50, 205, 3) + image / image.std() * rng.uniform(20, 50, 3)
    return np.clip(colors, 0, 255).astype(np.uint8)


def _draw_shape(image_HWC: np.ndarray, rng: np.random.Generator) -> None:
    side = image_HWC.shape[0]
    color = tuple(int(v) for v in rng.integers(0, 256, 3))
    at = tuple(int(v) for v in rng.integers(0, side, 2))
    size = int(rng.integers(10, 140))
    kind = rng.integers(4)
    if kind == 0:
        cv2.circle(image_HWC, at, size // 2, color, -1, cv2.LINE_AA)
    elif kind == 1:
        other = (at[0] + size, at[1] + int(rng.integers(10, 140)))
        cv2.rectangle(image_HWC, at, other, color, -1)
    elif kind == 2:
        other = tuple(int(v) for v in rng.integers(0, side, 2))
        cv2.line(image_HWC, at, other, color, int(rng.integers(1, 9)), cv2.LINE_AA)
    else:
        points = np.array(at) + rng.integers(-size, size, (4, 2))
        cv2.fillPoly(image_HWC, [points.astype(np.int32)], color, cv2.LINE_AA)


def _photo_part(rng: np.random.Generator, size: int) -> np.ndarray:
    photos = photographs()
    photo = photos[rng.integers(len(photos))]
    side = int(min(photo.shape[:2]) * rng.uniform(0.6, 1.0))
    y, x = rng.integers(0, photo.shape[0] - side + 1), rng.integers(0, photo.shape[1] - side + 1)
    part = photo[y : y + side, x : x + side]
    part = part[:, ::-1] if rng.random() < 0.5 else part
    return cv2.resize(np.ascontiguousarray(part), (size, size), interpolation=cv2.INTER_CUBIC)


@cache
def photographs() -> tuple[np.ndarray, ...]:
    """Return the photographs that come with scikit-learn and matplotlib: no text in any of them."""
    files = [("sklearn", "datasets/images/china.jpg"), ("sklearn", "datasets/images/flower.jpg")]
    files += [("matplotlib", "mpl-data/sample_data/grace_hopper.jpg")]
    images = []
    for package, name in files:
        spec = find_spec(package)
        path = Path(spec.origin).parent / name if spec and spec.origin else None
        if path is not None and path.is_file():
            images.append(np.asarray(Image.open(path).convert("RGB")))
    if not images:
        raise ValueError("photographs: needs pip install scikit-learn matplotlib")
    return tuple(images)
