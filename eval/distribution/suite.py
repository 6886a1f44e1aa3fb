"""All distances between a judged set of features and a reference, with intervals and honest refusals."""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from eval.core.intervals import Interval, bootstrap_interval
from eval.core.results import SHARE, Score
from eval.distribution.feature_arrays import linearised_interval
from eval.distribution.frechet import Moments, extrapolated, frechet_distance, influences
from eval.distribution.inception_score import surprise
from eval.distribution.kid import kernel_distance
from eval.distribution.prdc import manifold

NEIGHBOURS = 5
DISTANCES = ("fd", "fid", "fvd", "fad")  # by the backbones' kinds; fid and fvd over their own networks only
SET_SCORES = {
    **{each: Score(-1, "", "Frechet distance, covariances divided by n - 1") for each in DISTANCES},
    **{
        f"{each}_inf": Score(-1, "", "Frechet distance extrapolated to infinitely many samples")
        for each in DISTANCES
    },
    "kid": Score(-1, "", "unbiased kernel distance, (a.b / d + 1)^3, over all pairs"),
    "precision": Score(1, SHARE, f"judged samples within the reference's {NEIGHBOURS}-neighbour balls"),
    "recall": Score(1, SHARE, "reference samples within the judged ones' balls"),
    "density": Score(1, "", "reference balls around each judged sample, per neighbour"),
    "coverage": Score(1, SHARE, "reference samples with a judged one in their ball"),
    "is": Score(1, "", "inception score over the whole set, no splits"),
}
"""Names end in _BACKBONE."""
Features = NDArray[np.floating]
Groups = Sequence[Hashable]


@dataclass(frozen=True, kw_only=True)
class SetScore:
    """A number about a whole set. `interval` is None where `refused` says why; `notes` warn of its use."""

    name: str
    interval: Interval | None
    refused: str | None = None
    notes: tuple[str, ...] = ()


def compare(
    backbone: str,
    x_nd: Features,
    y_md: Features,
    *,
    distance: str = "fd",
    groups_x: Groups | None = None,
    groups_y: Groups | None = None,
    seed: int = 0,
) -> list[SetScore]:
    """fd_, fd_inf_, kid_, precision_, recall_, density_ and coverage_BACKBONE, in this order.

    Args:
        x_nd: features of the judged set; y_md: of the reference.
        distance: what the Frechet distance is called over this backbone, one of DISTANCES.
        groups_x: each row's prompt; rows of one prompt are drawn together by the bootstrap.
        seed: of the bootstrap and of the subsets.

    Numbers that the sets are too small for are refused with the reason, never replaced.
    """
    sets = _Sets(x_nd, y_md, groups_x, groups_y, seed)
    scores = [scored(f"{distance}_{backbone}", lambda: _frechet(sets), _size_notes(x_nd, y_md))]
    scores.append(scored(f"{distance}_inf_{backbone}", lambda: _frechet_inf(sets)))
    scores.append(_kernel(f"kid_{backbone}", sets))
    return scores + _manifold_scores(backbone, sets)


def inception(backbone: str, probabilities_nc: Features, *, groups: Groups | None, seed: int) -> SetScore:
    """is_BACKBONE over the whole set, without splits; the interval is of the mean surprise, then exp."""
    try:
        found = bootstrap_interval(surprise(probabilities_nc), groups, seed=seed)
    except ValueError as error:
        return SetScore(name=f"is_{backbone}", interval=None, refused=str(error))
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


def scored(name: str, measure: Callable[[], Interval], notes: tuple[str, ...] = ()) -> SetScore:
    """What `measure` gives, or its ValueError as the reason for a refusal."""
    try:
        return SetScore(name=name, interval=measure(), notes=notes)
    except ValueError as error:
        return SetScore(name=name, interval=None, refused=str(error))


def _size_notes(x: Features, y: Features) -> tuple[str, ...]:
    notes = []
    fewest, dim = min(len(x), len(y)), x.shape[-1]
    if fewest <= dim:
        notes.append(f"{fewest} samples in {dim} dimensions: biased upwards by much, believe kid rather")
    if len(x) != len(y):
        notes.append(f"{len(x)} samples against {len(y)}: compare only with the same numbers")
    return tuple(notes)


def _frechet(sets: _Sets) -> Interval:
    x, y = Moments.of(sets.x_nd), Moments.of(sets.y_md)
    value = frechet_distance(x, y)
    parts = [influences(sets.x_nd, x, y), influences(sets.y_md, y, x)]
    return linearised_interval(value, parts, [sets.groups_x, sets.groups_y], seed=sets.seed)


def _frechet_inf(sets: _Sets) -> Interval:
    """To first order rows move it as they move the plain distance; the error of the fit comes on top."""
    found = extrapolated(sets.x_nd, sets.y_md, seed=sets.seed)
    plain = _frechet(sets)
    below, above = (math.hypot(side, 1.96 * found.error) for side in _sides(plain))
    return replace(plain, mean=found.value, low=found.value - below, high=found.value + above)


def _sides(interval: Interval) -> tuple[float, float]:
    return interval.mean - interval.low, interval.high - interval.mean


def _kernel(name: str, sets: _Sets) -> SetScore:
    """Where the third-order term was not summed over all pairs, a note says by how much that may be off."""
    try:
        found = kernel_distance(sets.x_nd, sets.y_md)
        parts = [found.influence_x, found.influence_y]
        interval = linearised_interval(found.value, parts, [sets.groups_x, sets.groups_y], seed=sets.seed)
    except ValueError as error:
        return SetScore(name=name, interval=None, refused=str(error))
    sampled = (
        f"third-order term over some of the pairs, standard error {found.error:.1e}, not in the interval"
    )
    return SetScore(name=name, interval=interval, notes=(sampled,) if found.error else ())


def _manifold_scores(backbone: str, sets: _Sets) -> list[SetScore]:
    """Intervals take the other set's balls as given."""
    kinds = ("precision", "recall", "density", "coverage")
    x, y = sets.x_nd, sets.y_md
    try:
        found = manifold(x, y, k=NEIGHBOURS)
    except ValueError as error:
        return [SetScore(name=f"{kind}_{backbone}", interval=None, refused=str(error)) for kind in kinds]
    rows = (found.precision_n, found.recall_m, found.density_n, found.coverage_m)
    notes = (f"{len(x)} samples against {len(y)}: unequal numbers shift it",) if len(x) != len(y) else ()
    scores = []
    for kind, values in zip(kinds, rows, strict=True):
        groups = sets.groups_y if kind in ("recall", "coverage") else sets.groups_x
        interval = bootstrap_interval(values, groups, seed=sets.seed)
        scores.append(SetScore(name=f"{kind}_{backbone}", interval=interval, notes=notes))
    return scores
