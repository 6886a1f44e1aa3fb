"""All metrics between a generated set of features and a reference, with confidence intervals."""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from eval.core.intervals import Array, Interval, mean_interval
from eval.core.results import FRACTION, Score
from eval.distribution.config import SetsConfig
from eval.distribution.feature_arrays import VideoRows, linearized_interval
from eval.distribution.frechet import Moments, extrapolate_frechet, frechet_distance, influences
from eval.distribution.inception_score import kl_to_marginal
from eval.distribution.kid import kernel_distance
from eval.distribution.prdc import compute_prdc

DISTANCES = ("fd", "fid", "fvd", "fad")  # named by backbone; fid and fvd over Inception and I3D only
SET_SCORES = {
    **{each: Score(-1, "", "Frechet distance, covariances divided by n - 1") for each in DISTANCES},
    **{
        f"{each}_inf": Score(-1, "", "Frechet distance extrapolated to infinitely many samples")
        for each in DISTANCES
    },
    "kid": Score(-1, "", "unbiased kernel distance, (a.b / d + 1)^3, over all pairs of different videos"),
    "precision": Score(1, FRACTION, "generated rows within a ball of the reference"),
    "recall": Score(1, FRACTION, "reference rows within a ball of the generated set"),
    "density": Score(1, "", "reference balls around each generated video, per neighbor"),
    "coverage": Score(1, FRACTION, "reference rows with a generated one in their ball"),
    "is": Score(1, "", "inception score over the full set, no splits"),
}
"""Meaning of the scores; their names in results end in _BACKBONE."""
Features = NDArray[np.floating]
Labels = Sequence[Hashable]


@dataclass(frozen=True)
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
    videos_x: Labels | None = None,
    videos_y: Labels | None = None,
    groups_x: Labels | None = None,
    groups_y: Labels | None = None,
    settings: SetsConfig | None = None,
    seed: int = 0,
) -> list[SetScore]:
    """Return fd_, fd_inf_, kid_, precision_, recall_, density_ and coverage_BACKBONE, in this order.

    Args:
        x_nd: features of the generated set; y_md: of the reference.
        distance: name of the Frechet distance over this backbone, one of DISTANCES.
        videos_x: each row's video; None means that each row is one. Rows of a video follow each other.
        groups_x: each row's prompt; videos of one prompt are a cluster.
        seed: of the bootstrap and of the subsets.

    Scores that the sets are too small for have an error and no number.
    """
    x, y = FeatureSet.of(x_nd, videos_x, groups_x), FeatureSet.of(y_md, videos_y, groups_y)
    settings = settings or SetsConfig()
    scores = [
        try_score(f"{distance}_{backbone}", lambda: _frechet(x, y), _size_notes(x, y)),
        try_score(f"{distance}_inf_{backbone}", lambda: _frechet_inf(x, y, settings, seed)),
        _kid(f"kid_{backbone}", x, y),
        *_prdc_scores(backbone, x, y, settings.num_neighbors, seed),
    ]
    return [_with_numbers(each, x.videos.num, y.videos.num) for each in scores]


def score_inception(
    backbone: str,
    probabilities_nc: Features,
    *,
    videos: Labels | None = None,
    groups: Labels | None = None,
    seed: int,
) -> SetScore:
    """Return is_BACKBONE over the full set, without splits; its interval is exp of that of log IS."""
    x = FeatureSet.of(probabilities_nc, videos, groups)
    try:
        found = mean_interval(kl_to_marginal(probabilities_nc), x.groups, seed=seed)
    except ValueError as error:
        return SetScore(name=f"is_{backbone}", interval=None, error=str(error))
    low, high = (None if value is None else math.exp(value) for value in (found.low, found.high))
    method = f"{found.method} of the logarithm"
    interval = replace(found, mean=math.exp(found.mean), low=low, high=high, method=method)
    num, classes = x.videos.num, probabilities_nc.shape[1]
    few = f"{num} samples for {classes} classes: the score is at most {min(len(x.rows), classes)}"
    score = SetScore(name=f"is_{backbone}", interval=interval, notes=(few,) if num < classes else ())
    return _with_numbers(score, num, None)


@dataclass(frozen=True)
class FeatureSet:
    """Rows, their videos, and the clusters of rows that intervals are about: prompts or videos.

    `prompts`: of each row, also where all have the same one; None if they are not known.
    """

    rows: Features
    videos: VideoRows
    groups: Labels | None
    prompts: Labels | None = None

    @classmethod
    def of(cls, rows: Features, videos: Labels | None, groups: Labels | None) -> "FeatureSet":
        found, prompts = VideoRows.of(videos, len(rows)), groups
        if groups is None or len(set(groups)) == 1:  # with a single prompt: about its other videos
            groups = None if found.single else list(found.codes)
        return cls(rows, found, groups, prompts)


def _with_numbers(score: SetScore, num: int, num_reference: int | None) -> SetScore:
    """Return the score with the numbers of videos in its interval."""
    if score.interval is None:
        return score
    return replace(score, interval=replace(score.interval, num=num, num_reference=num_reference))


def try_score(name: str, measure: Callable[[], Interval], notes: tuple[str, ...] = ()) -> SetScore:
    """Return the score computed by `measure`; a ValueError becomes its error."""
    try:
        return SetScore(name=name, interval=measure(), notes=notes)
    except ValueError as error:
        return SetScore(name=name, interval=None, error=str(error))


def _size_notes(x: FeatureSet, y: FeatureSet) -> tuple[str, ...]:
    notes = []
    sizes, dim = (x.videos.num, y.videos.num), x.rows.shape[-1]
    if min(sizes) <= dim:
        notes.append(f"{min(sizes)} samples in {dim} dimensions: strong upward bias, prefer kid")
    if sizes[0] != sizes[1]:
        notes.append(f"{sizes[0]} samples against {sizes[1]}: compare only at equal numbers")
    return tuple(notes)


def _frechet(x: FeatureSet, y: FeatureSet) -> Interval:
    moments_x, moments_y = Moments.from_features(x.rows), Moments.from_features(y.rows)
    value = frechet_distance(moments_x, moments_y)
    parts = [influences(x.rows, moments_x, moments_y), influences(y.rows, moments_y, moments_x)]
    found = linearized_interval(value, parts, [x.groups, y.groups])
    return found if found.low is None else replace(found, low=max(found.low, 0.0))


def _frechet_inf(x: FeatureSet, y: FeatureSet, settings: SetsConfig, seed: int) -> Interval:
    """Combine the influences of the plain distance, equal to first order, with the error of the fit."""
    found = extrapolate_frechet(
        x.rows,
        y.rows,
        videos_x=x.videos,
        videos_y=y.videos,
        seed=seed,
        num_points=settings.fd_inf_points,
        num_orders=settings.fd_inf_orders,
    )
    plain = _frechet(x, y)
    if plain.high is None:
        return replace(plain, mean=found.value)
    half = math.hypot(plain.high - plain.mean, 1.96 * found.error)
    return replace(plain, mean=found.value, low=found.value - half, high=found.value + half)


def _kid(name: str, x: FeatureSet, y: FeatureSet) -> SetScore:
    """Return KID; if its third-order term is sampled, a note states the standard error."""
    try:
        found = kernel_distance(x.rows, y.rows, videos_x=x.videos, videos_y=y.videos)
    except ValueError as error:
        return SetScore(name=name, interval=None, error=str(error))
    parts = [found.influence_x, found.influence_y]
    interval = linearized_interval(found.value, parts, [x.groups, y.groups])
    sampled = (
        f"third-order term over some of the pairs, standard error {found.error:.1e}, not in the interval"
    )
    return SetScore(name=name, interval=interval, notes=(sampled,) if found.error else ())


def _prdc_scores(backbone: str, x: FeatureSet, y: FeatureSet, k: int, seed: int) -> list[SetScore]:
    """Return precision, recall, density, coverage; intervals condition on the other set's balls."""
    kinds = ("precision", "recall", "density", "coverage")
    try:
        found = compute_prdc(x.rows, y.rows, k=k, videos_x=x.videos, videos_y=y.videos)
    except ValueError as error:
        return [SetScore(name=f"{kind}_{backbone}", interval=None, error=str(error)) for kind in kinds]
    num_x, num_y = x.videos.num, y.videos.num
    notes = (f"{num_x} samples against {num_y}: unequal numbers bias it",) if num_x != num_y else ()
    by_video = None if x.groups is None else [x.groups[start] for start in x.videos.starts[:-1]]
    intervals: list[tuple[Array, Labels | None]] = [
        (found.precision_n, x.groups),
        (found.recall_m, y.groups),
        (found.density_n, by_video),
        (found.coverage_m, y.groups),
    ]
    scores = []
    for kind, (values, groups) in zip(kinds, intervals, strict=True):
        interval = mean_interval(values, groups, kind="real" if kind == "density" else "fraction", seed=seed)
        scores.append(SetScore(name=f"{kind}_{backbone}", interval=interval, notes=notes))
    return scores
