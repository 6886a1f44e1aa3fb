"""All metrics between a generated set of features and a reference, with confidence intervals."""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from eval.core.intervals import Interval, bootstrap_interval
from eval.core.results import FRACTION, Score
from eval.distribution.feature_arrays import linearized_interval
from eval.distribution.frechet import Moments, extrapolate_frechet, frechet_distance, influences
from eval.distribution.inception_score import kl_to_marginal
from eval.distribution.kid import kernel_distance
from eval.distribution.prdc import compute_prdc

NUM_NEIGHBORS = 5
DISTANCES = ("fd", "fid", "fvd", "fad")  # named by backbone; fid and fvd over Inception and I3D only
SET_SCORES = {
    **{each: Score(-1, "", "Frechet distance, covariances divided by n - 1") for each in DISTANCES},
    **{
        f"{each}_inf": Score(-1, "", "Frechet distance extrapolated to infinitely many samples")
        for each in DISTANCES
    },
    "kid": Score(-1, "", "unbiased kernel distance, (a.b / d + 1)^3, over all pairs"),
    "precision": Score(
        1, FRACTION, f"generated samples within the reference's {NUM_NEIGHBORS}-neighbor balls"
    ),
    "recall": Score(1, FRACTION, "reference samples within the generated samples' balls"),
    "density": Score(1, "", "reference balls around each generated sample, per neighbor"),
    "coverage": Score(1, FRACTION, "reference samples with a generated one in their ball"),
    "is": Score(1, "", "inception score over the full set, no splits"),
}
"""Meaning of the scores; their names in results end in _BACKBONE."""
Features = NDArray[np.floating]
Groups = Sequence[Hashable]


@dataclass(frozen=True, kw_only=True)
class SetScore:
    """A score of a set. `interval` is None if it failed, with the reason in `error`; `notes` are caveats."""

    name: str
    interval: Interval | None
    error: str | None = None
    notes: tuple[str, ...] = ()


def compare_sets(
    backbone: str,
    x_nd: Features,
    y_md: Features,
    *,
    distance: str = "fd",
    groups_x: Groups | None = None,
    groups_y: Groups | None = None,
    seed: int = 0,
) -> list[SetScore]:
    """Return fd_, fd_inf_, kid_, precision_, recall_, density_ and coverage_BACKBONE, in this order.

    Args:
        x_nd: features of the generated set; y_md: of the reference.
        distance: name of the Frechet distance over this backbone, one of DISTANCES.
        groups_x: each row's prompt; rows of one prompt are resampled together.
        seed: of the bootstrap and of the subsets.

    Scores that the sets are too small for have an error and no number.
    """
    sets = _Sets(x_nd, y_md, groups_x, groups_y, seed)
    scores = [try_score(f"{distance}_{backbone}", lambda: _frechet(sets), _size_notes(x_nd, y_md))]
    scores.append(try_score(f"{distance}_inf_{backbone}", lambda: _frechet_inf(sets)))
    scores.append(_kid(f"kid_{backbone}", sets))
    return scores + _prdc_scores(backbone, sets)


def score_inception(
    backbone: str, probabilities_nc: Features, *, groups: Groups | None, seed: int
) -> SetScore:
    """Return is_BACKBONE over the full set, without splits; its interval is exp of that of log IS."""
    try:
        found = bootstrap_interval(kl_to_marginal(probabilities_nc), groups, seed=seed)
    except ValueError as error:
        return SetScore(name=f"is_{backbone}", interval=None, error=str(error))
    mean, low, high = (float(np.exp(value)) for value in (found.mean, found.low, found.high))
    interval = Interval(mean, low, high, found.num, found.num_groups, f"{found.method} of the logarithm")
    classes = probabilities_nc.shape[1]
    few = f"{found.num} samples for {classes} classes: the score is at most {min(found.num, classes)}"
    return SetScore(name=f"is_{backbone}", interval=interval, notes=(few,) if found.num < classes else ())


@dataclass(frozen=True)
class _Sets:
    x_nd: Features
    y_md: Features
    groups_x: Groups | None
    groups_y: Groups | None
    seed: int


def try_score(name: str, measure: Callable[[], Interval], notes: tuple[str, ...] = ()) -> SetScore:
    """Return the score computed by `measure`; a ValueError becomes its error."""
    try:
        return SetScore(name=name, interval=measure(), notes=notes)
    except ValueError as error:
        return SetScore(name=name, interval=None, error=str(error))


def _size_notes(x: Features, y: Features) -> tuple[str, ...]:
    notes = []
    fewest, dim = min(len(x), len(y)), x.shape[-1]
    if fewest <= dim:
        notes.append(f"{fewest} samples in {dim} dimensions: strong upward bias, prefer kid")
    if len(x) != len(y):
        notes.append(f"{len(x)} samples against {len(y)}: compare only at equal numbers")
    return tuple(notes)


def _frechet(sets: _Sets) -> Interval:
    x, y = Moments.from_features(sets.x_nd), Moments.from_features(sets.y_md)
    value = frechet_distance(x, y)
    parts = [influences(sets.x_nd, x, y), influences(sets.y_md, y, x)]
    return linearized_interval(value, parts, [sets.groups_x, sets.groups_y], seed=sets.seed)


def _frechet_inf(sets: _Sets) -> Interval:
    """Combine the influences of the plain distance, equal to first order, with the error of the fit."""
    found = extrapolate_frechet(sets.x_nd, sets.y_md, seed=sets.seed)
    plain = _frechet(sets)
    below, above = (math.hypot(side, 1.96 * found.error) for side in _sides(plain))
    return replace(plain, mean=found.value, low=found.value - below, high=found.value + above)


def _sides(interval: Interval) -> tuple[float, float]:
    return interval.mean - interval.low, interval.high - interval.mean


def _kid(name: str, sets: _Sets) -> SetScore:
    """Return KID; if its third-order term is sampled, a note states the standard error."""
    try:
        found = kernel_distance(sets.x_nd, sets.y_md)
        parts = [found.influence_x, found.influence_y]
        interval = linearized_interval(found.value, parts, [sets.groups_x, sets.groups_y], seed=sets.seed)
    except ValueError as error:
        return SetScore(name=name, interval=None, error=str(error))
    sampled = (
        f"third-order term over some of the pairs, standard error {found.error:.1e}, not in the interval"
    )
    return SetScore(name=name, interval=interval, notes=(sampled,) if found.error else ())


def _prdc_scores(backbone: str, sets: _Sets) -> list[SetScore]:
    """Return precision, recall, density, coverage; intervals condition on the other set's balls."""
    kinds = ("precision", "recall", "density", "coverage")
    x, y = sets.x_nd, sets.y_md
    try:
        found = compute_prdc(x, y, k=NUM_NEIGHBORS)
    except ValueError as error:
        return [SetScore(name=f"{kind}_{backbone}", interval=None, error=str(error)) for kind in kinds]
    rows = (found.precision_n, found.recall_m, found.density_n, found.coverage_m)
    notes = (f"{len(x)} samples against {len(y)}: unequal numbers bias it",) if len(x) != len(y) else ()
    scores = []
    for kind, values in zip(kinds, rows, strict=True):
        groups = sets.groups_y if kind in ("recall", "coverage") else sets.groups_x
        interval = bootstrap_interval(values, groups, seed=sets.seed)
        scores.append(SetScore(name=f"{kind}_{backbone}", interval=interval, notes=notes))
    return scores
