"""Films spoilt on purpose, to see that a metric notices what it should and forgives what it may.

Every degradation maps uint8 frames [T,H,W,3] to uint8 frames of the same shape; what is random in it is
drawn from the given seed. Lengths are for a film of 32 pixels and grow with the film.
"""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter

from eval.core.video import codec_round_trip

Degradation = Callable[[np.ndarray, int], np.ndarray]


def unchanged(video: np.ndarray, seed: int) -> np.ndarray:
    return video


def other_colours(video: np.ndarray, seed: int) -> np.ndarray:
    """Red becomes blue, blue green, green red: every colourful thing has a wrong colour, grey stays grey."""
    return video[..., [1, 2, 0]]


def frozen(video: np.ndarray, seed: int) -> np.ndarray:
    """The first frame throughout."""
    return np.repeat(video[:1], len(video), axis=0)


def reversed_time(video: np.ndarray, seed: int) -> np.ndarray:
    return video[::-1]


def shuffled(video: np.ndarray, seed: int) -> np.ndarray:
    """Frames in random order."""
    return video[_rng(seed, 1).permutation(len(video))]


def blur(sigma: float) -> Degradation:
    """Gaussian blur of every frame, `sigma` in pixels at 32 pixels."""

    def apply(video: np.ndarray, seed: int) -> np.ndarray:
        width = sigma * min(video.shape[1:3]) / 32
        blurred = gaussian_filter(video.astype(np.float32), (0, width, width, 0), mode="nearest")
        return _to_uint8(blurred)

    return apply


def noise(sigma: float) -> Degradation:
    """Independent gaussian noise, `sigma` in levels of 255."""

    def apply(video: np.ndarray, seed: int) -> np.ndarray:
        return _to_uint8(video + _rng(seed, 2).normal(0, sigma, video.shape))

    return apply


def colour_shift(strength: float) -> Degradation:
    """A random tint and saturation: channels by up to `strength`, saturation lower by up to twice that."""

    def apply(video: np.ndarray, seed: int) -> np.ndarray:
        rng = _rng(seed, 3)
        values = video.astype(np.float32)
        grey = values.mean(-1, keepdims=True)
        pale = grey + (values - grey) * (1 - 2 * strength * rng.random())
        return _to_uint8(pale * (1 + strength * (2 * rng.random(3) - 1)))

    return apply


def as_generated(strength: float) -> Degradation:
    """Soft, slightly noisy and off in colour: what a small model's films look like at strength 1."""

    def apply(video: np.ndarray, seed: int) -> np.ndarray:
        soft = blur(0.7 * strength)(video, seed)
        return noise(5 * strength)(colour_shift(0.07 * strength)(soft, seed), seed)

    return apply


def h264(crf: int) -> Degradation:
    """An H.264 round trip in yuv420p (libx264, preset medium)."""
    return lambda video, seed: codec_round_trip(video, 16, crf=crf)


def _rng(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, stream]))


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
    "colour shift 7 %": colour_shift(0.07),
    "colour shift 15 %": colour_shift(0.15),
    "blur 0.5": blur(0.5),
    "blur 0.7": blur(0.7),
    "blur 1": blur(1.0),
    "blur 1.5": blur(1.5),
    "blur 2": blur(2.0),
    "blur 3": blur(3.0),
    "blur 5": blur(5.0),
    "wrong colours": other_colours,
    "frozen": frozen,
    "reversed": reversed_time,
    "shuffled": shuffled,
}
