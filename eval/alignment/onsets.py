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
from eval.core.audio_metric import AudioMetric, AudioPairMetric
from eval.core.audio_pass import AudioInfo, AudioPairTask, AudioTask, MonoStream
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


class ReferenceOnsets(AudioPairMetric):
    """Onsets of the audio against those of `reference`, such as the original audio of the video."""

    name = "onsets"
    scores = SCORES

    def __init__(self, settings: OnsetsConfig = DEFAULTS) -> None:
        self.settings = settings

    def describe(self) -> dict[str, Any]:
        return _description("onsets of the sample's reference", self.settings)

    def observe_audio_pairs(self, item: Item, info: AudioInfo) -> AudioPairTask:
        detectors = [OnsetDetector(info.rate, self.settings) for _ in range(2)]
        while (pair := (yield)) is not None:
            for detector, mono_S in zip(detectors, pair, strict=True):
                detector.add(mono_S)
        detected, expected = (detector.finish() for detector in detectors)
        return _compare(detected, expected, self.settings)


class BounceOnsets(AudioMetric):
    """Onsets of the audio against the impacts in a Bounce video's facts."""

    name = "bounce_onsets"
    scores = SCORES

    def __init__(self, settings: OnsetsConfig = DEFAULTS) -> None:
        self.settings = settings

    def describe(self) -> dict[str, Any]:
        return _description("impacts of the video's facts; near ones count as one", self.settings)

    def observe_audio(self, item: Item, info: AudioInfo) -> AudioTask:
        facts = item.sample.facts
        if facts is None or "impacts" not in facts:
            raise ValueError("sample has no `facts` with impacts")
        times = np.sort(np.array([impact["time_s"] for impact in facts["impacts"]], float))
        expected = merge_close_times(times, self.settings.min_gap_s)
        mono, detector = MonoStream(info, info.rate), OnsetDetector(info.rate, self.settings)
        while (samples_CS := (yield)) is not None:
            detector.add(mono.add(samples_CS))
        return _compare(detector.finish(), expected, self.settings)


def _description(truth: str, settings: OnsetsConfig) -> dict[str, Any]:
    return {
        "version": "onsets-4",
        "backbone": None,
        "truth": truth,
        "settings": asdict(settings),
        "preprocessing": "mean of channels, own rate (against a reference its rate), spectral flux",
        "scipy": scipy.__version__,
    }


def detect_onsets(audio: Audio, settings: OnsetsConfig = DEFAULTS) -> np.ndarray:
    """Return the times of the onsets in seconds, ascending."""
    detector = OnsetDetector(audio.rate, settings)
    detector.add(audio.mono)
    return detector.finish()


class OnsetDetector:
    """Onsets of audio that arrives in pieces, mono; of each step only its spectral flux is kept."""

    def __init__(self, rate: int, settings: OnsetsConfig = DEFAULTS) -> None:
        self.rate, self.settings = rate, settings
        self._hop = max(1, round(settings.hop_s * rate))
        self._size = max(8, round(settings.window_s * rate))
        from scipy.signal import get_window  # slow to import: not for --help

        window = get_window("hann", self._size)
        self._window, self._rest_S = window / window.sum(), np.zeros(self._size)
        self._level_F: np.ndarray | None = None  # of the last window
        self._flux = list[np.ndarray]()

    def add(self, mono_S: np.ndarray) -> None:
        """Measure the next samples."""
        self._rest_S = np.concatenate([self._rest_S, mono_S.astype(np.float64)])
        num = (len(self._rest_S) - self._size) // self._hop + 1
        if num < 1:
            return
        windows = np.lib.stride_tricks.sliding_window_view(self._rest_S, self._size)
        spectra_NF = np.abs(np.fft.rfft(windows[: num * self._hop : self._hop] * self._window))
        level_NF = np.log1p(self.settings.compression * spectra_NF)
        before_NF = level_NF[:1] if self._level_F is None else self._level_F[None]
        rise_NF = np.diff(level_NF, axis=0, prepend=before_NF)
        self._flux.append(np.maximum(rise_NF, 0).mean(1)[self._level_F is None :])
        self._level_F, self._rest_S = level_NF[-1], self._rest_S[num * self._hop :]

    def finish(self) -> np.ndarray:
        """Return the times of the onsets in seconds, ascending."""
        from scipy.ndimage import maximum_filter1d, median_filter  # slow to import: not for --help

        self.add(np.zeros(self._size))
        t, flux = self.settings, np.concatenate(self._flux)
        around = median_filter(flux, size=max(3, round(t.around_s / t.hop_s)), mode="constant")
        peaks = maximum_filter1d(flux, size=2 * round(t.min_gap_s / t.hop_s / 2) + 1) == flux
        strong = flux > np.maximum(around * t.above_around + t.above_silence, t.of_strongest * flux.max())
        # the flux peaks when an onset is half a hop past the middle of the window
        middles = (np.flatnonzero(peaks & strong) + 1) * self._hop + self._size / 2
        found = np.maximum((middles - self._size) / self.rate + t.hop_s, 0)
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
