"""Find the player's shots in audio by the templates of the weapons.

At each step the spectrum that follows, and its rise above the 30 ms before, are compared with each weapon's
beginning. A shot is where the similarity is largest in its surroundings and above the weapon's threshold, at
a level not far from the weapon's own: a player's shots are always equally loud.

Legend: C channels, T steps, K steps of a template, F mel bands.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.vizdoom_checker.spectrum import HOP_S, mel_magnitudes
from eval.vizdoom_checker.templates import NUM_STEPS, Templates
from src.core.media_io.audio import Audio

NUM_BEFORE = 6  # steps of the spectrum before, above which a rise is measured
MIN_STEPS = 8  # a shot less than 40 ms before the end is not recognized
MIN_GAP_S = 0.1
MIN_GAIN, MAX_GAIN = 0.35, 3.0  # level relative to the weapon's own


@dataclass(frozen=True)
class Shot:
    """A recognized shot."""

    time_s: float
    weapon: str
    similarity: float


def beginnings(magnitudes_TF: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return [2, T, K, F]: the spectra from each step on, as they are, and above the mean of those before.

    A weapon that fires again cuts its last shot off: that tail is then nothing to subtract.
    """
    before = np.pad(magnitudes_TF, ((NUM_BEFORE, 0), (0, 0)))[:-1]
    sums = np.cumsum(np.pad(before, ((1, 0), (0, 0))), axis=0, dtype=np.float64)
    mean_TF = ((sums[NUM_BEFORE:] - sums[:-NUM_BEFORE]) / NUM_BEFORE).astype(np.float32)
    after = np.pad(magnitudes_TF, ((0, NUM_STEPS - 1), (0, 0)))
    windows_TKF = np.lib.stride_tricks.sliding_window_view(after, NUM_STEPS, axis=0).transpose(0, 2, 1)
    return np.stack([windows_TKF, np.maximum(windows_TKF - mean_TF[:, None], 0)])


def similarities(spectra_TKF: NDArray[np.float32], template_KF: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return of each step the correlation of the square roots, 0 where the level is not the weapon's.

    Near the end the template is as long as the audio lasts, and not below `MIN_STEPS`.
    """
    num_steps, scores = len(spectra_TKF), np.zeros(len(spectra_TKF), np.float32)
    complete = max(num_steps - NUM_STEPS + 1, 0)
    scores[:complete] = _correlation(spectra_TKF[:complete], template_KF)
    for step in range(complete, num_steps - MIN_STEPS + 1):
        left = num_steps - step
        scores[step] = _correlation(spectra_TKF[step : step + 1, :left], template_KF[:left])[0]
    return scores


def _correlation(spectra_TKF: NDArray[np.float32], template_KF: NDArray[np.float32]) -> NDArray[np.float32]:
    flat, pattern = spectra_TKF.reshape(len(spectra_TKF), template_KF.size), template_KF.ravel()
    gain = flat @ pattern / (pattern @ pattern)
    roots, root = np.sqrt(flat), np.sqrt(pattern)
    roots, root = roots - roots.mean(1, keepdims=True), root - root.mean()
    correlation = roots @ root / (np.linalg.norm(roots, axis=1) * np.linalg.norm(root) + 1e-6)
    return np.where((gain >= MIN_GAIN) & (gain <= MAX_GAIN), correlation, 0).astype(np.float32)


def find_shots(audio: Audio, templates: Templates) -> list[Shot]:
    """Return the player's shots in order of time; channels are mixed down."""
    spectra_2TKF = beginnings(mel_magnitudes(audio.mixdown(1))[0])
    names = sorted(templates.magnitudes)
    scores_WT = np.stack(
        [
            np.maximum(*(similarities(each, templates.magnitudes[name]) for each in spectra_2TKF))
            for name in names
        ]
    )
    for scores_T, name in zip(scores_WT, names, strict=True):
        scores_T[scores_T < templates.thresholds[name]] = 0
    best_T, half = scores_WT.max(0), round(MIN_GAP_S / HOP_S)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(best_T, half), 2 * half + 1).max(1)
    peaks = np.flatnonzero((best_T > 0) & (best_T == around))
    return [
        Shot(round(float(t) * HOP_S, 4), names[int(scores_WT[:, t].argmax())], round(float(best_T[t]), 3))
        for t in peaks
    ]
