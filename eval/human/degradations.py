"""Degradations of clips with an obvious effect on one axis: gold, practice and example items.

Frame degradations map an iterator of frames [H, W, 3] (uint8) to one of the same length, in constant memory;
audio degradations map samples [C, S] (float32) at a rate to samples of the same shape. Other kinds replace
the clip or its audio by another one of the study.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from src.core.rng import numpy_generator

Frame = NDArray[np.uint8]
Samples = NDArray[np.float32]
FrameDegradation = Callable[[Iterator[Frame], int], Iterator[Frame]]
AudioDegradation = Callable[[Samples, int, int], Samples]

JERK_WINDOW = 8
LATE_S = 0.8


def blur(frames: Iterator[Frame], seed: int) -> Iterator[Frame]:
    """Blur every frame; the standard deviation is 1/24 of the shorter side."""
    for frame in frames:
        radius = max(1.0, min(frame.shape[:2]) / 24)
        yield np.asarray(Image.fromarray(frame).filter(ImageFilter.GaussianBlur(radius)))


def noise(frames: Iterator[Frame], seed: int) -> Iterator[Frame]:
    """Add Gaussian noise of 45 levels to every frame."""
    for index, frame in enumerate(frames):
        rng = numpy_generator(seed, "human/noise", index)
        yield _to_uint8(frame + rng.normal(0, 45, frame.shape))


def flicker(frames: Iterator[Frame], seed: int) -> Iterator[Frame]:
    """Scale the brightness of each color by a random factor from 0.5 to 1.5, new for each frame."""
    for index, frame in enumerate(frames):
        yield _to_uint8(frame * numpy_generator(seed, "human/flicker", index).uniform(0.5, 1.5, 3))


def freeze(frames: Iterator[Frame], seed: int) -> Iterator[Frame]:
    """Repeat the first frame."""
    first = None
    for frame in frames:
        first = frame if first is None else first
        yield first


def jerk(frames: Iterator[Frame], seed: int) -> Iterator[Frame]:
    """Permute the frames within windows of 8."""
    window: list[Frame] = []
    count = 0
    for frame in frames:
        window.append(frame)
        if len(window) == JERK_WINDOW:
            yield from _permuted(window, seed, count)
            window, count = [], count + 1
    yield from _permuted(window, seed, count)


def posterize(frames: Iterator[Frame], seed: int) -> Iterator[Frame]:
    """Reduce every color to three levels after a mode filter, as a painting has."""
    for frame in frames:
        painted = np.asarray(Image.fromarray(frame).filter(ImageFilter.MedianFilter(5)))
        yield (painted // 86 * 127).clip(0, 255).astype(np.uint8)


def washed_out(frames: Iterator[Frame], seed: int) -> Iterator[Frame]:
    """Take away most of the color and two thirds of the contrast."""
    for frame in frames:
        gray = frame.mean(-1, keepdims=True)
        yield _to_uint8(128 + 0.33 * (gray + 0.25 * (frame - gray) - 128))


def add_hiss(samples_CS: Samples, rate: int, seed: int) -> Samples:
    """Add white noise as loud as the audio (at least -40 dBFS)."""
    level = max(0.01, float(np.sqrt((samples_CS**2).mean())))
    hiss = numpy_generator(seed, "human/hiss").normal(0, level, samples_CS.shape)
    return np.clip(samples_CS + hiss, -1, 1).astype(np.float32)


def distort(samples_CS: Samples, rate: int, seed: int) -> Samples:
    """Clip at a tenth of the peak and bring the result back to the peak."""
    peak = max(1e-6, float(np.abs(samples_CS).max()))
    return (np.clip(samples_CS, -peak / 10, peak / 10) * 10).astype(np.float32)


def muffle(samples_CS: Samples, rate: int, seed: int) -> Samples:
    """Remove everything above about 500 Hz (a moving average, twice)."""
    width = max(2, round(rate / 1000))
    kernel = np.convolve(np.ones(width) / width, np.ones(width) / width)
    return np.stack([np.convolve(channel, kernel, "same") for channel in samples_CS]).astype(np.float32)


def delay(samples_CS: Samples, rate: int, seed: int) -> Samples:
    """Delay by 0.8 s, or by a third of a shorter clip; the end wraps around, so that nothing is missing."""
    return np.roll(samples_CS, min(round(LATE_S * rate), samples_CS.shape[1] // 3), axis=1)


def silence(samples_CS: Samples, rate: int, seed: int) -> Samples:
    """Return silence."""
    return np.zeros_like(samples_CS)


FRAME_DEGRADATIONS: dict[str, FrameDegradation] = {
    "blur": blur,
    "noise": noise,
    "flicker": flicker,
    "freeze": freeze,
    "jerk": jerk,
    "posterize": posterize,
    "washed_out": washed_out,
}
AUDIO_DEGRADATIONS: dict[str, AudioDegradation] = {
    "audio_noise": add_hiss,
    "audio_distortion": distort,
    "audio_muffled": muffle,
    "audio_late": delay,
    "silence": silence,
}
REPLACEMENTS = (
    "other_prompt",
    "other_audio",
    "unedited",
)  # another clip, its audio, or the clip before an edit
DEGRADATIONS = (*FRAME_DEGRADATIONS, *AUDIO_DEGRADATIONS, *REPLACEMENTS)


def _permuted(window: list[Frame], seed: int, count: int) -> Iterator[Frame]:
    order = numpy_generator(seed, "human/jerk", count).permutation(len(window))
    if len(window) > 1 and (np.diff(order) == 1).all():
        order = order[::-1]
    yield from (window[index] for index in order)


def _to_uint8(values: NDArray[np.floating]) -> Frame:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
