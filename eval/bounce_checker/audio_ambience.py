"""Recognize the background of a Bounce video in the noise floor of its audio.

Legend: K templates, B frequency bands, S samples, F frequencies, T times.
"""

from functools import cache
from itertools import pairwise

import numpy as np

from data.bounce.audio import ambience
from data.bounce.vocabulary import BACKGROUNDS
from eval.bounce_checker.audio_spectra import BANDS_HZ, SAMPLE_RATE

NUM_AMBIENCES = 6
LOUDNESS_WEIGHT = 0.15  # of the overall level, which hardly depends on the background
FLOOR_QUANTILE = 0.25


def classify_background(mono_S: np.ndarray) -> tuple[str, float]:
    """Return the background of the nearest ambience, and the volume relative to it, at most 1.

    Silence has the background "" and the volume 1.
    """
    if not mono_S.any():
        return "", 1.0
    names, bank_KB = _background_bank()
    gaps_KB = noise_floor(mono_S) - bank_KB
    # most of a constant offset is volume, not spectrum
    centered_KB = gaps_KB - (1 - LOUDNESS_WEIGHT) * gaps_KB.mean(1, keepdims=True)
    best = int(np.abs(centered_KB).mean(1).argmin())
    return names[best], min(float(10 ** np.median(gaps_KB[best])), 1.0)


def noise_floor(mono_S: np.ndarray) -> np.ndarray:
    """Return log10 of the level that each band exceeds three quarters of the time, [B]."""
    from scipy.signal import stft  # slow to import: not for --help

    size = min(4096, len(mono_S))
    hertz, _, spectrum = stft(mono_S, SAMPLE_RATE, nperseg=size, boundary=None, padded=False)
    power_FT = np.abs(spectrum) ** 2
    bands = np.clip(np.searchsorted(hertz, BANDS_HZ), 0, len(hertz) - 1)
    rows = [power_FT[a : max(b, a + 1)].mean(0) for a, b in pairwise(bands)]
    return 0.5 * np.log10(np.maximum(np.quantile(np.stack(rows), FLOOR_QUANTILE, axis=1), 1e-14))


@cache
def _background_bank() -> tuple[list[str], np.ndarray]:
    names = [background for background in BACKGROUNDS for _ in range(NUM_AMBIENCES)]
    waves = (
        ambience(background, 2 * SAMPLE_RATE, SAMPLE_RATE, seed)
        for background in BACKGROUNDS
        for seed in range(NUM_AMBIENCES)
    )
    return names, np.stack([noise_floor(wave) for wave in waves])
