"""Does the sound hit when it should? Onsets of a sound against wanted times: precision, recall, F1, lag.

An onset is a peak of the spectral flux (rise of log magnitudes, summed over frequencies) that stands out
of its surroundings (Bello et al. 2005). Wanted times come from a Bounce film's facts or from the onsets
of a reference sound. No network is used.
"""

from typing import Any

import numpy as np
import scipy
from scipy.ndimage import maximum_filter1d, median_filter
from scipy.signal import stft

from eval.core.audio import Sound
from eval.core.results import SHARE, Item, Measurement, Score

HOP_S, WINDOW_S = 0.005, 0.02
LEAST_GAP_S = 0.05  # onsets closer than this are one
TOLERANCE_S = 0.05
FARTHEST_S = 1.0

_SCORES = {
    "onset_precision": Score(1, SHARE, f"heard onsets with a wanted one within {1000 * TOLERANCE_S:.0f} ms"),
    "onset_recall": Score(1, SHARE, "wanted onsets with a heard one that near"),
    "onset_f1": Score(1, SHARE, "harmonic mean of the two"),
    "onset_lag": Score(-1, "s", "mean distance of the pairs, absolute"),
    "onset_shift": Score(-1, "s", f"shift, absolute, up to {FARTHEST_S:.0f} s, at which most onsets meet"),
    "onset_count": Score(0, "", "heard onsets"),
}


class ReferenceOnsets:
    """Onsets of the sound against those of `reference`: how well sound made for a film keeps its time."""

    name = "onsets"
    scores = _SCORES

    def describe(self) -> dict[str, Any]:
        return _description("onsets of the sample's reference")

    def measure(self, item: Item) -> Measurement:
        wanted = onsets(item.reference_sound)
        return _compared(onsets(item.sound), wanted)


class BounceSound:
    """Onsets of the sound against the impacts in a Bounce film's facts."""

    name = "bounce_sound"
    scores = _SCORES

    def describe(self) -> dict[str, Any]:
        return _description("impacts of the film's facts; impacts closer than 50 ms are one")

    def measure(self, item: Item) -> Measurement:
        facts = item.sample.facts
        if facts is None or "impacts" not in facts:
            raise ValueError("names no facts with impacts to judge against")
        wanted = thinned(np.sort(np.array([hit["time_s"] for hit in facts["impacts"]], float)))
        return _compared(onsets(item.sound), wanted)


def _description(truth: str) -> dict[str, Any]:
    return {
        "version": "onsets-2",
        "backbone": None,
        "truth": truth,
        "tolerance_s": TOLERANCE_S,
        "preprocessing": f"mean of channels, own rate, spectral flux every {HOP_S} s",
        "scipy": scipy.__version__,
    }


def onsets(sound: Sound) -> np.ndarray:
    """Times in seconds, ascending."""
    hop, size = max(1, round(HOP_S * sound.rate)), max(8, round(WINDOW_S * sound.rate))
    padded = np.pad(sound.mono.astype(np.float64), (size, size))
    _, times, spectrum = stft(
        padded, sound.rate, nperseg=size, noverlap=size - hop, boundary=None, padded=False
    )
    level = np.log1p(1000 * np.abs(spectrum))
    flux = np.maximum(level[:, 1:] - level[:, :-1], 0).mean(0)
    around = median_filter(flux, size=max(3, round(0.3 / HOP_S)), mode="constant")
    peaks = maximum_filter1d(flux, size=2 * round(LEAST_GAP_S / HOP_S / 2) + 1) == flux
    strong = flux > np.maximum(around * 2.5 + 0.02, 0.12 * flux.max())
    # the flux peaks when a hit has come half a hop past the middle of the window
    return thinned(np.maximum(times[1:][peaks & strong] - size / sound.rate + HOP_S, 0))


def thinned(times: np.ndarray) -> np.ndarray:
    """Ascending times without those that follow another one within LEAST_GAP_S."""
    kept: list[float] = []
    for time in times:
        if not kept or time - kept[-1] >= LEAST_GAP_S:
            kept.append(float(time))
    return np.array(kept)


def paired(heard: np.ndarray, wanted: np.ndarray, tolerance: float = TOLERANCE_S) -> list[tuple[int, int]]:
    """One-to-one pairs within the tolerance; ascending order makes the greedy choice a largest one."""
    pairs, i, j = [], 0, 0
    while i < len(heard) and j < len(wanted):
        if abs(heard[i] - wanted[j]) <= tolerance:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif heard[i] < wanted[j]:
            i += 1
        else:
            j += 1
    return pairs


def shift(heard: np.ndarray, wanted: np.ndarray) -> float | None:
    """By how much the sound is late (negative: early), seconds: where most onsets meet, the nearest of these.

    Sees offsets that are larger than the tolerance of the pairs. None where no two onsets are that near.
    """
    gaps = (heard[:, None] - wanted[None]).ravel()
    gaps = gaps[np.abs(gaps) <= FARTHEST_S]
    if not len(gaps):
        return None
    best = max(gaps, key=lambda gap: (len(paired(heard - gap, wanted, TOLERANCE_S / 2)), -abs(gap)))
    met = paired(heard - best, wanted, TOLERANCE_S / 2)
    return float(np.mean([heard[i] - wanted[j] for i, j in met]))


def onset_scores(heard: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
    """Values that have no meaning (recall of nothing) are left out; silence where silence is due is right."""
    pairs = paired(heard, wanted)
    values = {"onset_count": float(len(heard))}
    if len(heard):
        values["onset_precision"] = len(pairs) / len(heard)
    if len(wanted):
        values["onset_recall"] = len(pairs) / len(wanted)
    total = len(heard) + len(wanted)
    values["onset_f1"] = 2 * len(pairs) / total if total else 1.0
    if pairs:
        values["onset_lag"] = float(np.mean([abs(heard[i] - wanted[j]) for i, j in pairs]))
    late = shift(heard, wanted)
    return values if late is None else {**values, "onset_shift": abs(late)}


def _compared(heard: np.ndarray, wanted: np.ndarray) -> Measurement:
    detail = {
        "heard_s": np.round(heard, 4).tolist(),
        "wanted_s": np.round(wanted, 4).tolist(),
        "lags_s": [float(heard[i] - wanted[j]) for i, j in paired(heard, wanted)],
        "shift_s": shift(heard, wanted),
    }
    return Measurement(onset_scores(heard, wanted), detail)
