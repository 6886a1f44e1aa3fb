"""Synthetic degradations of videos, to test what a metric detects and what it tolerates.

A degradation maps uint8 frames [T,H,W,3] and a seed to uint8 frames of the same shape. Lengths are in
pixels of a video of 32 pixels and scale with its shorter side.
"""

from collections.abc import Callable

import numpy as np

from eval.core.video import codec_round_trip
from src.core.rng import numpy_generator

Degradation = Callable[[np.ndarray, int], np.ndarray]


def unchanged(video: np.ndarray, seed: int) -> np.ndarray:
    """Return the video as it is."""
    return video


def rotate_colors(video: np.ndarray, seed: int) -> np.ndarray:
    """Map red to blue, blue to green, green to red: saturated colors become wrong, gray stays gray."""
    return video[..., [1, 2, 0]]


def frozen(video: np.ndarray, seed: int) -> np.ndarray:
    """Repeat the first frame."""
    return np.repeat(video[:1], len(video), axis=0)


def reversed_time(video: np.ndarray, seed: int) -> np.ndarray:
    """Reverse the order of the frames."""
    return video[::-1]


def shuffled(video: np.ndarray, seed: int) -> np.ndarray:
    """Shuffle the frames."""
    return video[numpy_generator(seed, "degradations/shuffle").permutation(len(video))]


def blur(sigma: float) -> Degradation:
    """Return a Gaussian blur of every frame, `sigma` in pixels at 32 pixels."""

    def apply(video: np.ndarray, seed: int) -> np.ndarray:
        from scipy.ndimage import gaussian_filter  # slow to import: not for --help

        width = sigma * min(video.shape[1:3]) / 32
        blurred = gaussian_filter(video.astype(np.float32), (0, width, width, 0), mode="nearest")
        return _to_uint8(blurred)

    return apply


def noise(sigma: float) -> Degradation:
    """Return independent Gaussian noise, `sigma` in levels of 255."""

    def apply(video: np.ndarray, seed: int) -> np.ndarray:
        return _to_uint8(video + numpy_generator(seed, "degradations/noise").normal(0, sigma, video.shape))

    return apply


def color_shift(strength: float) -> Degradation:
    """Return a random tint, of up to `strength`, with saturation lower by up to twice that."""

    def apply(video: np.ndarray, seed: int) -> np.ndarray:
        rng = numpy_generator(seed, "degradations/color")
        values = video.astype(np.float32)
        gray = values.mean(-1, keepdims=True)
        pale = gray + (values - gray) * (1 - 2 * strength * rng.random())
        return _to_uint8(pale * (1 + strength * (2 * rng.random(3) - 1)))

    return apply


def as_generated(strength: float) -> Degradation:
    """Return blur, noise and a color shift that at strength 1 look like the output of a small model."""

    def apply(video: np.ndarray, seed: int) -> np.ndarray:
        soft = blur(0.7 * strength)(video, seed)
        return noise(5 * strength)(color_shift(0.07 * strength)(soft, seed), seed)

    return apply


def h264(crf: int) -> Degradation:
    """Return an H.264 round trip in yuv420p (libx264, preset medium)."""
    return lambda video, seed: codec_round_trip(video, 16, crf=crf)


def _to_uint8(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


DEGRADATIONS: dict[str, Degradation] = {
    "ground truth": unchanged,
    "H.264 crf 18": h264(18),
    "H.264 crf 23": h264(23),
    "H.264 crf 28": h264(28),
    "as generated x0.5": as_generated(0.5),
    "as generated x1": as_generated(1.0),
    "as generated x1.5": as_generated(1.5),
    "noise 5": noise(5),
    "noise 10": noise(10),
    "noise 20": noise(20),
    "color shift 7 %": color_shift(0.07),
    "color shift 15 %": color_shift(0.15),
    "blur 0.5": blur(0.5),
    "blur 0.7": blur(0.7),
    "blur 1": blur(1.0),
    "blur 1.5": blur(1.5),
    "blur 2": blur(2.0),
    "blur 3": blur(3.0),
    "blur 5": blur(5.0),
    "wrong colors": rotate_colors,
    "frozen": frozen,
    "reversed": reversed_time,
    "shuffled": shuffled,
}
