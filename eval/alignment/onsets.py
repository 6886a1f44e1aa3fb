"""Timing of audio: its onsets against expected times, by precision, recall, F1 and lag, pooled over videos.

Matches, detected and expected onsets are summed over all videos before they are divided: most short videos
contain no impact, and a mean of F1 per video would reward silence for them. Onsets detected in videos without
an expected one are counted by themselves.

An onset is a peak of the spectral flux (rise of log magnitudes, averaged over frequencies) that exceeds its
surroundings (Bello et al. 2005). Expected times come from a Bounce video's facts or from the onsets of
reference audio. No network is used.
"""

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import scipy

from eval.alignment.config import OnsetsConfig
from eval.core.audio import Audio
from eval.core.results import FRACTION, Item, Measurement, Score

DEFAULTS = OnsetsConfig()
SCORES = {
    "onset_precision": Score(1, FRACTION, "detected onsets near an expected one, pooled"),
    "onset_recall": Score(1, FRACTION, "expected onsets near a detected one, pooled"),
    "onset_f1": Score(1, FRACTION, "2 matches / (detected + expected), pooled"),
    "onset_lag": Score(-1, "s", "absolute distance of the matched pairs, pooled"),
    "onset_shift": Score(-1, "s", "absolute offset at which most onsets match"),
    "onset_count": Score(0, "", "detected onsets"),
    "onset_false": Score(-1, "", "detected onsets of samples without an expected one"),
}


class ReferenceOnsets:
    """Onsets of the audio against those of `reference`, such as the original audio of the video."""

    name = "onsets"
    scores = SCORES

    def __init__(self, settings: OnsetsConfig = DEFAULTS) -> None:
        self.settings = settings

    def describe(self) -> dict[str, Any]:
        return _description("onsets of the sample's reference", self.settings)

    def measure(self, item: Item) -> Measurement:
        expected = detect_onsets(item.reference_audio, self.settings)
        return _compare(detect_onsets(item.audio, self.settings), expected, self.settings)


class BounceOnsets:
    """Onsets of the audio against the impacts in a Bounce video's facts."""

    name = "bounce_onsets"
    scores = SCORES

    def __init__(self, settings: OnsetsConfig = DEFAULTS) -> None:
        self.settings = settings

    def describe(self) -> dict[str, Any]:
        return _description("impacts of the video's facts; near ones count as one", self.settings)

    def measure(self, item: Item) -> Measurement:
        facts = item.sample.facts
        if facts is None or "impacts" not in facts:
            raise ValueError("sample has no `facts` with impacts")
        times = np.sort(np.array([impact["time_s"] for impact in facts["impacts"]], float))
        expected = merge_close_times(times, self.settings.min_gap_s)
        return _compare(detect_onsets(item.audio, self.settings), expected, self.settings)


def _description(truth: str, settings: OnsetsConfig) -> dict[str, Any]:
    return {
        "version": "onsets-3",
        "backbone": None,
        "truth": truth,
        "settings": asdict(settings),
        "preprocessing": "mean of channels, own rate, spectral flux",
        "scipy": scipy.__version__,
    }


def detect_onsets(audio: Audio, settings: OnsetsConfig = DEFAULTS) -> np.ndarray:
    """Return the times of the onsets in seconds, ascending."""
    from scipy.ndimage import maximum_filter1d, median_filter  # slow to import: not for --help
    from scipy.signal import stft

    t = settings
    hop, size = max(1, round(t.hop_s * audio.rate)), max(8, round(t.window_s * audio.rate))
    padded = np.pad(audio.mono.astype(np.float64), (size, size))
    _, times, spectrum = stft(
        padded, audio.rate, nperseg=size, noverlap=size - hop, boundary=None, padded=False
    )
    level = np.log1p(t.compression * np.abs(spectrum))
    flux = np.maximum(level[:, 1:] - level[:, :-1], 0).mean(0)
    around = median_filter(flux, size=max(3, round(t.around_s / t.hop_s)), mode="constant")
    peaks = maximum_filter1d(flux, size=2 * round(t.min_gap_s / t.hop_s / 2) + 1) == flux
    strong = flux > np.maximum(around * t.above_around + t.above_silence, t.of_strongest * flux.max())
    # the flux peaks when an onset is half a hop past the middle of the window
    found = np.maximum(times[1:][peaks & strong] - size / audio.rate + t.hop_s, 0)
    return merge_close_times(found, t.min_gap_s)


def merge_close_times(times: np.ndarray, min_gap_s: float = DEFAULTS.min_gap_s) -> np.ndarray:
    """Return ascending times without those that follow a kept one by less than `min_gap_s`."""
    kept: list[float] = []
    for time in times:
        if not kept or time - kept[-1] >= min_gap_s:
            kept.append(float(time))
    return np.array(kept)


def match_onsets(
    detected: np.ndarray, expected: np.ndarray, tolerance_s: float = DEFAULTS.tolerance_s
) -> list[tuple[int, int]]:
    """Return a largest set of one-to-one pairs within the tolerance, of ascending times.

    The times are ascending, so the greedy choice is optimal.
    """
    pairs, i, j = [], 0, 0
    while i < len(detected) and j < len(expected):
        if abs(detected[i] - expected[j]) <= tolerance_s:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif detected[i] < expected[j]:
            i += 1
        else:
            j += 1
    return pairs


def estimate_offset(
    detected: np.ndarray, expected: np.ndarray, settings: OnsetsConfig = DEFAULTS
) -> float | None:
    """Return the delay of the audio in seconds (negative: early) at which most onsets match.

    Finds offsets beyond the tolerance of the pairs; the smallest of several. None if no two onsets are
    within `max_offset_s`.
    """
    gaps = (detected[:, None] - expected[None]).ravel()
    gaps = gaps[np.abs(gaps) <= settings.max_offset_s]
    if not len(gaps):
        return None
    near_s = settings.tolerance_s / 2
    best = max(gaps, key=lambda gap: (len(match_onsets(detected - gap, expected, near_s)), -abs(gap)))
    pairs = match_onsets(detected - best, expected, near_s)
    return float(np.mean([detected[i] - expected[j] for i, j in pairs]))


def onset_scores(
    detected: np.ndarray, expected: np.ndarray, settings: OnsetsConfig = DEFAULTS
) -> Measurement:
    """Return one sample's scores and counts, without undefined ones (recall without expected onsets)."""
    pairs = match_onsets(detected, expected, settings.tolerance_s)
    matched, num_detected, num_expected = float(len(pairs)), float(len(detected)), float(len(expected))
    lags_s = [float(detected[i] - expected[j]) for i, j in pairs]
    pooled = {
        "onset_precision": (matched, num_detected),
        "onset_recall": (matched, num_expected),
        "onset_f1": (2 * matched, num_detected + num_expected),
        "onset_lag": (float(np.abs(lags_s).sum()), matched),
    }
    values = {name: top / bottom for name, (top, bottom) in pooled.items() if bottom}
    values["onset_count"] = num_detected
    if not len(expected):
        values["onset_false"] = num_detected
    offset = estimate_offset(detected, expected, settings)
    if offset is not None:
        values["onset_shift"] = abs(offset)
    return Measurement(values, {"lags_s": lags_s, "shift_s": offset}, pooled)


def _compare(detected: np.ndarray, expected: np.ndarray, settings: OnsetsConfig) -> Measurement:
    found = onset_scores(detected, expected, settings)
    times = {"detected_s": np.round(detected, 4).tolist(), "expected_s": np.round(expected, 4).tolist()}
    return replace(found, detail=times | found.detail)
