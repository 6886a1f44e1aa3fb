"""Mel magnitudes of audio in steps of 5 ms.

Legend: C channels, T steps, F mel bands.
"""

import numpy as np
from numpy.typing import NDArray

from src.core.media_io.audio import Audio

RATE, HOP, WINDOW = 24_000, 120, 480
HOP_S = HOP / RATE
NUM_BANDS, LOW_HZ, HIGH_HZ = 32, 60.0, 10_000.0


def mel_magnitudes(audio: Audio) -> NDArray[np.float32]:
    """Return mel magnitudes [C, T, F], step t centered at t * `HOP_S`; a full-scale tone has about 0.5."""
    samples_CS = audio.resample(RATE).samples_CS
    padded = np.pad(samples_CS, ((0, 0), (WINDOW // 2, WINDOW // 2)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=1)[:, ::HOP]
    window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    power = np.abs(np.fft.rfft(frames * window, axis=-1)) ** 2 * (4 / WINDOW**2)
    return np.sqrt(power @ _mel_bands().T).astype(np.float32)


def _mel_bands() -> NDArray[np.float64]:
    """Return triangular bands [F, WINDOW / 2 + 1], equally wide on the mel scale."""
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (LOW_HZ, HIGH_HZ))
    edges = 700 * (10 ** (np.linspace(low, high, NUM_BANDS + 2) / 2595) - 1)
    hz = np.fft.rfftfreq(WINDOW, 1 / RATE)
    rising = (hz[None] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hz[None]) / (edges[2:] - edges[1:-1])[:, None]
    return np.clip(np.minimum(rising, falling), 0, None)
