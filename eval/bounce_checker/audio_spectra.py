"""Band powers of audio, and the noise floor below its events.

Legend: S samples, B frequency bands, W windows after a hit.
"""

from itertools import pairwise

import numpy as np

SAMPLE_RATE = 48_000
BANDS_HZ = 60 * 2 ** (np.arange(49) / 6)  # sixth octaves, 60 Hz to 15 kHz
NUM_BANDS = len(BANDS_HZ) - 1
WINDOW_EDGES_S = (0.0, 0.025, 0.05, 0.1, 0.2, 0.3)  # bounds of the windows after a hit
MIN_SAMPLES = 64  # of a window that is measured
FLOOR_WINDOW_S = 0.1
FLOOR_QUANTILE = 0.25


def band_powers(part_S: np.ndarray) -> np.ndarray:
    """Return the mean power of each band, [B]; zeros for less than 64 samples."""
    if len(part_S) < MIN_SAMPLES:
        return np.zeros(NUM_BANDS)
    size = max(4096, len(part_S))
    power = np.abs(np.fft.rfft(part_S * np.hanning(len(part_S)), size)) ** 2 / len(part_S)
    edges = np.searchsorted(np.fft.rfftfreq(size, 1 / SAMPLE_RATE), BANDS_HZ)
    sums = np.concatenate([[0.0], np.cumsum(power)])
    return (sums[edges[1:]] - sums[edges[:-1]]) / np.maximum(np.diff(edges), 1)


def window_powers(samples_S: np.ndarray, start: int) -> np.ndarray:
    """Return the band powers of each window after sample `start`, [W, B]."""
    edges = [max(start + round(edge * SAMPLE_RATE), 0) for edge in WINDOW_EDGES_S]
    return np.stack([band_powers(samples_S[low:high]) for low, high in pairwise(edges)])


def floor_powers(samples_S: np.ndarray) -> np.ndarray:
    """Return the power that each band exceeds three quarters of the time, [B]."""
    size = round(FLOOR_WINDOW_S * SAMPLE_RATE)
    starts = range(0, max(len(samples_S) - size, 1), size // 2)
    powers = np.stack([band_powers(samples_S[start : start + size]) for start in starts])
    return np.quantile(powers, FLOOR_QUANTILE, axis=0)
