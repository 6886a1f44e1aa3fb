"""Joins of two takes that the test of borders must find, and rendered music and ambience to join."""

from collections.abc import Callable, Sequence

import numpy as np

from data.bounce.audio import SAMPLE_RATE, ambience
from data.bounce.music import compose, render_music
from data.bounce.world import WORLD_VERSION
from eval.bounce_checker.border_jumps import Samples

SWELLING = ("wood", "grass", "sand", "bricks")  # backgrounds whose ambience swells
FADE_S = 0.01


def uncut(take: Samples, other: Samples, content: Samples, borders: Sequence[int]) -> Samples:
    """Return one take: its borders are names only."""
    return take


def butt_joined(take: Samples, other: Samples, content: Samples, borders: Sequence[int]) -> Samples:
    """Return alternating takes of the same content, joined without a fade."""
    return _alternate(take, other, borders, 0)


def cross_faded(take: Samples, other: Samples, content: Samples, borders: Sequence[int]) -> Samples:
    """Return alternating takes of the same content, with cross-fades of 10 ms."""
    return _alternate(take, other, borders, round(FADE_S * SAMPLE_RATE))


def hard_cut(take: Samples, other: Samples, content: Samples, borders: Sequence[int]) -> Samples:
    """Return a take that alternates with other content."""
    return _alternate(take, content, borders, 0)


Join = Callable[[Samples, Samples, Samples, Sequence[int]], Samples]
JOINS: dict[str, Join] = {
    "none": uncut,
    "butt-joined takes": butt_joined,
    "takes with cross-fades of 10 ms": cross_faded,
    "hard cuts to other content": hard_cut,
}


def _alternate(take: Samples, other: Samples, borders: Sequence[int], fade: int) -> Samples:
    gain = np.zeros(len(take))
    for k, start in enumerate(borders):
        gain[start:] = (k + 1) % 2
        if fade:
            ramp = np.linspace(k % 2, (k + 1) % 2, fade)
            gain[start - fade // 2 : start - fade // 2 + fade] = ramp
    return take * (1 - gain) + other * gain


def music_take(seed: int, count: int, take: int) -> Samples:
    """Return music of a seed; takes differ in where the piece begins."""
    music = compose(seed, WORLD_VERSION)
    shift = take_shift(seed, take)
    return render_music(
        type(music)(**{**vars(music), "offset_s": music.offset_s + shift}), count, SAMPLE_RATE
    )


def take_shift(seed: int, take: int) -> float:
    """Return by how many seconds a take of a piece begins later: no multiple of a beat."""
    return take * (0.731 + 0.1 * (seed % 7))


def ambience_take(seed: int, count: int, take: int) -> Samples:
    """Return swelling ambience of a seed; takes differ in their noise."""
    background = SWELLING[seed % len(SWELLING)]
    return np.asarray(ambience(background, count, SAMPLE_RATE, seed * 10 + take, WORLD_VERSION), np.float64)


CONTENTS: dict[str, Callable[[int, int, int], Samples]] = {
    "music": music_take,
    "swelling ambience": ambience_take,
    "both": lambda seed, count, take: music_take(seed, count, take) + ambience_take(seed, count, take),
}
