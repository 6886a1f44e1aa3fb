"""Recognize the background of a Bounce video in the noise floor of its audio.

The floor is explained by that of an ambience at some volume, of music that is known to sound, and of white
noise.

Legend: K templates, B frequency bands, V volumes, S samples, F frequencies, T times.
"""

from functools import cache
from itertools import pairwise

import numpy as np

from data.bounce.audio import ambience
from data.bounce.vocabulary import BACKGROUNDS
from eval.bounce_checker.audio_spectra import BANDS_HZ, SAMPLE_RATE
from src.core.rng import numpy_generator

NUM_AMBIENCES = 6
LOUDNESS_WEIGHT = 0.15  # of the volume, which hardly depends on the background
NOISE_PENALTY = 0.02  # of the distance, so that noise is added only where it explains something
FLOOR_QUANTILE = 0.25  # of the frequencies of a band, between partials, and of times, between events
VOLUMES = 10 ** np.arange(-1.5, 0.51, 0.05)
NOISE_LEVELS = (0.0, *(10 ** (db / 20) for db in range(-75, -39, 5)))
SILENCE = 1e-14  # power


def classify_background(mono_S: np.ndarray, music_S: np.ndarray | None = None) -> tuple[str, float]:
    """Return the background of the nearest ambience, and the volume relative to it, at most 1.

    Silence has the background "" and the volume 1.

    Args:
        music_S: music that is known to sound too.
    """
    if not mono_S.any():
        return "", 1.0
    names, bank_KB = _background_bank()
    floor_B = np.log10(noise_floor(mono_S) + SILENCE)
    music_B = 0.0 if music_S is None else noise_floor(music_S)
    penalty_V1 = LOUDNESS_WEIGHT * np.abs(np.log10(VOLUMES))[:, None]
    best = (np.inf, "", 1.0)
    for level in NOISE_LEVELS:
        known_B = level**2 * _white_floor() + music_B + SILENCE
        explained_VKB = np.log10(VOLUMES[:, None, None] ** 2 * bank_KB + known_B)
        distance_VK = 0.5 * np.abs(floor_B - explained_VKB).mean(2) + penalty_V1
        v, k = np.unravel_index(int(distance_VK.argmin()), distance_VK.shape)
        distance = float(distance_VK[v, k]) + NOISE_PENALTY * (level > 0)
        if distance < best[0]:
            best = (distance, names[k], float(VOLUMES[v]))
    return best[1], min(best[2], 1.0)


def noise_floor(mono_S: np.ndarray) -> np.ndarray:
    """Return the power that three quarters of each band exceed three quarters of the time, [B]."""
    from scipy.signal import stft  # slow to import: not for --help

    size = min(4096, len(mono_S))
    hertz, _, spectrum = stft(mono_S, SAMPLE_RATE, nperseg=size, boundary=None, padded=False)
    power_FT = np.abs(spectrum) ** 2
    bands = np.clip(np.searchsorted(hertz, BANDS_HZ), 0, len(hertz) - 1)
    rows = [np.quantile(power_FT[a : max(b, a + 1)], FLOOR_QUANTILE, axis=0) for a, b in pairwise(bands)]
    return np.asarray(np.quantile(np.stack(rows), FLOOR_QUANTILE, axis=1))


@cache
def _background_bank() -> tuple[list[str], np.ndarray]:
    names = [background for background in BACKGROUNDS for _ in range(NUM_AMBIENCES)]
    waves = (
        ambience(background, 2 * SAMPLE_RATE, SAMPLE_RATE, seed)
        for background in BACKGROUNDS
        for seed in range(NUM_AMBIENCES)
    )
    return names, np.stack([noise_floor(wave) for wave in waves])


@cache
def _white_floor() -> np.ndarray:
    """Return the floor of white noise of variance 1."""
    return noise_floor(numpy_generator(0, "ambience/white noise").normal(size=2 * SAMPLE_RATE))
