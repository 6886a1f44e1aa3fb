"""Detect impacts and fit which objects rang at each: materials and sizes, alone or two together.

Onsets are candidates. The band powers after each are explained by a template times a gain, the tails of
earlier and the beginnings of later hits (resynthesized from their own fits), and the noise floor. All hits
are fitted twice, the second time with the others known. A candidate that no template explains better than the
floor, or that a crackle explains best, belongs to the ambience.

Legend: W windows after a hit, B frequency bands, K templates, G gains, S samples.
"""

from dataclasses import dataclass

import numpy as np

from eval.alignment.config import OnsetsConfig
from eval.alignment.onsets import detect_onsets
from eval.bounce_checker.audio_spectra import (
    SAMPLE_RATE,
    WINDOW_EDGES_S,
    band_powers,
    floor_powers,
    window_powers,
)
from eval.bounce_checker.audio_templates import Templates, hit_templates
from eval.core.audio import Audio

CANDIDATES = OnsetsConfig(of_strongest=0.06, min_gap_s=0.04)
EXPONENT = 0.25  # of powers, so that weak modes count
PAIR_PENALTY = 0.02  # similarity that a second object must add to be accepted
MIN_SIMILARITY = 0.3
MIN_LEVEL = 0.05  # of a strike, at the world's volume; crackles and waves fit as strikes up to 0.03
MIN_OF_STRONGEST = 0.1
HEARD = 0.5  # of everything else: where a template is louder it should match
COARSE_GAINS = 4.0 ** np.arange(-1.5, 1.51, 0.5)  # of powers, around that of equal energy
FINE_GAINS = 2.0 ** np.arange(-0.5, 0.51, 0.25)
NUM_FINE = 24  # templates that are fitted with fine gains
BEFORE_S = (0.05, 0.01)  # stretch before a hit in which the level is measured
NUM_PASSES = 2


@dataclass(frozen=True)
class Hit:
    """One detected impact; `materials` and `sizes` of its objects, ordered by material.

    `level` is that of the strike (`data.bounce.audio.loudness`). `similarity` is 1 where the template
    explains all that nothing else does, in the bands and windows in which it is heard, 0 where nothing.
    """

    time_s: float
    materials: tuple[str, ...]
    sizes: tuple[str, ...]
    level: float
    similarity: float


@dataclass
class _Fit:
    template: int
    gain: float  # of the power
    similarity: float

    @property
    def level(self) -> float:
        return self.gain**0.5


def find_hits(mono_S: np.ndarray, volume: float, music_S: np.ndarray | None = None) -> tuple[Hit, ...]:
    """Return the impacts in audio at 48 kHz, ascending by time.

    Args:
        volume: of the ambience relative to the world's; 1 where it is not known.
        music_S: music that is known to sound too.
    """
    times, templates = _candidate_times(mono_S), hit_templates()
    fits = _fit_all(mono_S, times, templates, music_S)
    likely = [bool(templates.objects[fit.template]) and fit.similarity >= MIN_SIMILARITY for fit in fits]
    strongest = max((fit.level for fit, good in zip(fits, likely, strict=True) if good), default=0.0)
    min_level = max(MIN_LEVEL * volume, MIN_OF_STRONGEST * strongest)
    hits = []
    for time_s, fit, good in zip(times, fits, likely, strict=True):
        if good and fit.level >= min_level:
            materials, sizes = zip(*sorted(templates.objects[fit.template]), strict=True)
            level, similarity = round(fit.level, 4), round(fit.similarity, 4)
            hits.append(Hit(round(float(time_s), 4), materials, sizes, level, similarity))
    return tuple(hits)


def _candidate_times(mono_S: np.ndarray) -> np.ndarray:
    """Return the onsets that are followed by enough samples for a first window."""
    times = detect_onsets(Audio(mono_S[None].astype(np.float32), SAMPLE_RATE), CANDIDATES)
    return times[times + WINDOW_EDGES_S[1] <= len(mono_S) / SAMPLE_RATE]


def _fit_all(
    mono_S: np.ndarray, times: np.ndarray, templates: Templates, music_S: np.ndarray | None = None
) -> list[_Fit]:
    floor_B = floor_powers(mono_S)
    synthesis_S = np.zeros(len(mono_S)) if music_S is None else music_S.copy()
    starts = [max(round(float(time) * SAMPLE_RATE), 0) for time in times]
    observed = [window_powers(mono_S, start) for start in starts]
    fits: list[_Fit] = []
    for number in range(NUM_PASSES):
        for i, start in enumerate(starts):
            if number:
                _add(synthesis_S, start, templates, fits[i], -1.0)
            end = starts[i + 1] if not number and i + 1 < len(starts) else len(mono_S)
            background_WB = window_powers(synthesis_S, start) + _noise(mono_S, synthesis_S, start, floor_B)
            fit = _fit(observed[i], background_WB, _num_windows(start, end), templates)
            fits[i : i + 1] = [fit]
            _add(synthesis_S, start, templates, fit, 1.0)
    return fits


def _add(synthesis_S: np.ndarray, start: int, templates: Templates, fit: _Fit, sign: float) -> None:
    wave_S = templates.waves_KS[fit.template][: len(synthesis_S) - start]
    synthesis_S[start : start + len(wave_S)] += sign * np.sqrt(fit.gain) * wave_S


def _noise(mono_S: np.ndarray, synthesis_S: np.ndarray, start: int, floor_B: np.ndarray) -> np.ndarray:
    """Return the power before a hit that known tails do not explain, at least the floor."""
    begin, end = (max(start - round(before * SAMPLE_RATE), 0) for before in BEFORE_S)
    unexplained_B = band_powers(mono_S[begin:end]) - band_powers(synthesis_S[begin:end])
    return np.maximum(floor_B, unexplained_B)


def _num_windows(start: int, end: int) -> int:
    """Return the windows after a hit that are over by `end`; at least the first."""
    slack_s = 0.005
    return max(sum(start + (edge - slack_s) * SAMPLE_RATE <= end for edge in WINDOW_EDGES_S[1:]), 1)


def _fit(observed_WB: np.ndarray, background_WB: np.ndarray, num_windows: int, templates: Templates) -> _Fit:
    """Return the template and gain that best explain the windows after a hit over what else sounds."""
    base_WB = background_WB[:num_windows]
    target_WB = observed_WB[:num_windows] ** EXPONENT
    powers_KWB = templates.powers_KWB[:, :num_windows]
    unexplained = max(float(((base_WB**EXPONENT - target_WB) ** 2).sum()), 1e-20)
    excess = np.maximum(observed_WB[:num_windows] - base_WB, 0).sum()
    gains_K = excess / np.maximum(powers_KWB.sum((1, 2)), 1e-20)
    errors_K, gains_K = _best_gains(powers_KWB, gains_K, COARSE_GAINS, base_WB, target_WB)
    penalty_K = PAIR_PENALTY * np.maximum(templates.num_objects - 1, 0)
    chosen = np.argsort(np.sqrt(errors_K / unexplained) + penalty_K)[:NUM_FINE]
    errors, gains = _best_gains(powers_KWB[chosen], gains_K[chosen], FINE_GAINS, base_WB, target_WB)
    best = int((np.sqrt(errors / unexplained) + penalty_K[chosen]).argmin())
    added_WB = gains[best] * powers_KWB[chosen[best]]
    heard = added_WB > HEARD * base_WB
    left = float(((((added_WB + base_WB) ** EXPONENT - target_WB) ** 2)[heard]).sum())
    missing = float((((base_WB**EXPONENT - target_WB) ** 2)[heard]).sum())
    similarity = 1 - np.sqrt(left / missing) if missing > 0 else 0.0
    return _Fit(int(chosen[best]), float(gains[best]), float(similarity))


def _best_gains(
    powers_KWB: np.ndarray,
    gains_K: np.ndarray,
    factors_G: np.ndarray,
    base_WB: np.ndarray,
    target_WB: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return each template's squared error with the best of its gains, and this gain."""
    gains_KG = gains_K[:, None] * factors_G
    powers = (gains_KG[:, :, None, None] * powers_KWB[:, None] + base_WB).astype(np.float32)
    errors_KG = ((np.sqrt(np.sqrt(powers)) - target_WB.astype(np.float32)) ** 2).sum((2, 3))
    best_K = errors_KG.argmin(1)
    rows = np.arange(len(best_K))
    return errors_KG[rows, best_K].astype(np.float64), gains_KG[rows, best_K]
