"""Timing of audio: its onsets against expected times, by precision, recall, F1 and lag.

An onset is a peak of the spectral flux (rise of log magnitudes, averaged over frequencies) that exceeds its
surroundings (Bello et al. 2005). Expected times come from a Bounce video's facts or from the onsets of
reference audio. No network is used.
"""

from typing import Any

import numpy as np
import scipy

from eval.core.audio import Audio
from eval.core.results import FRACTION, Item, Measurement, Score

HOP_S, WINDOW_S = 0.005, 0.02
MIN_GAP_S = 0.05  # closer onsets count as one
TOLERANCE_S = 0.05
MAX_OFFSET_S = 1.0

_SCORES = {
    "onset_precision": Score(
        1, FRACTION, f"detected onsets with an expected one within {1000 * TOLERANCE_S:.0f} ms"
    ),
    "onset_recall": Score(1, FRACTION, "expected onsets with a detected one that near"),
    "onset_f1": Score(1, FRACTION, "harmonic mean of the two"),
    "onset_lag": Score(-1, "s", "mean absolute distance of the matched pairs"),
    "onset_shift": Score(-1, "s", f"absolute offset, up to {MAX_OFFSET_S:.0f} s, at which most onsets match"),
    "onset_count": Score(0, "", "detected onsets"),
}


class ReferenceOnsets:
    """Onsets of the audio against those of `reference`, such as the original audio of the video."""

    name = "onsets"
    scores = _SCORES

    def describe(self) -> dict[str, Any]:
        return _description("onsets of the sample's reference")

    def measure(self, item: Item) -> Measurement:
        expected = detect_onsets(item.reference_audio)
        return _compare(detect_onsets(item.audio), expected)


class BounceOnsets:
    """Onsets of the audio against the impacts in a Bounce video's facts."""

    name = "bounce_onsets"
    scores = _SCORES

    def describe(self) -> dict[str, Any]:
        return _description("impacts of the video's facts; impacts closer than 50 ms count as one")

    def measure(self, item: Item) -> Measurement:
        facts = item.sample.facts
        if facts is None or "impacts" not in facts:
            raise ValueError("sample has no `facts` with impacts")
        times = np.sort(np.array([impact["time_s"] for impact in facts["impacts"]], float))
        return _compare(detect_onsets(item.audio), merge_close_times(times))


def _description(truth: str) -> dict[str, Any]:
    return {
        "version": "onsets-2",
        "backbone": None,
        "truth": truth,
        "tolerance_s": TOLERANCE_S,
        "preprocessing": f"mean of channels, own rate, spectral flux every {HOP_S} s",
        "scipy": scipy.__version__,
    }


def detect_onsets(audio: Audio) -> np.ndarray:
    """Return the times of the onsets in seconds, ascending."""
    from scipy.ndimage import maximum_filter1d, median_filter  # slow to import: not for --help
    from scipy.signal import stft

    hop, size = max(1, round(HOP_S * audio.rate)), max(8, round(WINDOW_S * audio.rate))
    padded = np.pad(audio.mono.astype(np.float64), (size, size))
    _, times, spectrum = stft(
        padded, audio.rate, nperseg=size, noverlap=size - hop, boundary=None, padded=False
    )
    level = np.log1p(1000 * np.abs(spectrum))
    flux = np.maximum(level[:, 1:] - level[:, :-1], 0).mean(0)
    around = median_filter(flux, size=max(3, round(0.3 / HOP_S)), mode="constant")
    peaks = maximum_filter1d(flux, size=2 * round(MIN_GAP_S / HOP_S / 2) + 1) == flux
    strong = flux > np.maximum(around * 2.5 + 0.02, 0.12 * flux.max())
    # the flux peaks when an onset is half a hop past the middle of the window
    return merge_close_times(np.maximum(times[1:][peaks & strong] - size / audio.rate + HOP_S, 0))


def merge_close_times(times: np.ndarray) -> np.ndarray:
    """Return ascending times without those that follow a kept one within MIN_GAP_S."""
    kept: list[float] = []
    for time in times:
        if not kept or time - kept[-1] >= MIN_GAP_S:
            kept.append(float(time))
    return np.array(kept)


def match_onsets(
    detected: np.ndarray, expected: np.ndarray, tolerance: float = TOLERANCE_S
) -> list[tuple[int, int]]:
    """Return a largest set of one-to-one pairs within the tolerance, of ascending times.

    The times are ascending, so the greedy choice is optimal.
    """
    pairs, i, j = [], 0, 0
    while i < len(detected) and j < len(expected):
        if abs(detected[i] - expected[j]) <= tolerance:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif detected[i] < expected[j]:
            i += 1
        else:
            j += 1
    return pairs


def estimate_offset(detected: np.ndarray, expected: np.ndarray) -> float | None:
    """Return the delay of the audio in seconds (negative: early) at which most onsets match.

    Finds offsets beyond the tolerance of the pairs; the smallest of several. None if no two onsets are
    within MAX_OFFSET_S.
    """
    gaps = (detected[:, None] - expected[None]).ravel()
    gaps = gaps[np.abs(gaps) <= MAX_OFFSET_S]
    if not len(gaps):
        return None
    best = max(
        gaps, key=lambda gap: (len(match_onsets(detected - gap, expected, TOLERANCE_S / 2)), -abs(gap))
    )
    pairs = match_onsets(detected - best, expected, TOLERANCE_S / 2)
    return float(np.mean([detected[i] - expected[j] for i, j in pairs]))


def onset_scores(detected: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    """Return all scores but undefined ones (recall without expected onsets); F1 of correct silence is 1."""
    pairs = match_onsets(detected, expected)
    values = {"onset_count": float(len(detected))}
    if len(detected):
        values["onset_precision"] = len(pairs) / len(detected)
    if len(expected):
        values["onset_recall"] = len(pairs) / len(expected)
    total = len(detected) + len(expected)
    values["onset_f1"] = 2 * len(pairs) / total if total else 1.0
    if pairs:
        values["onset_lag"] = float(np.mean([abs(detected[i] - expected[j]) for i, j in pairs]))
    offset = estimate_offset(detected, expected)
    return values if offset is None else {**values, "onset_shift": abs(offset)}


def _compare(detected: np.ndarray, expected: np.ndarray) -> Measurement:
    detail = {
        "detected_s": np.round(detected, 4).tolist(),
        "expected_s": np.round(expected, 4).tolist(),
        "lags_s": [float(detected[i] - expected[j]) for i, j in match_onsets(detected, expected)],
        "shift_s": estimate_offset(detected, expected),
    }
    return Measurement(onset_scores(detected, expected), detail)
