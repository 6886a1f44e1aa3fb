"""All numbers of a report, from preferences and scores, or from a study's votes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from eval.core.intervals import Interval, mean_interval
from eval.human.analysis.bias import (
    Effect,
    Halo,
    halo,
    identical_results,
    left_bias,
    session_effects,
)
from eval.human.analysis.bradley_terry import Strengths, fit_strengths
from eval.human.analysis.dawid_skene import fit_raters
from eval.human.analysis.elo import EloRating, elo_ratings
from eval.human.analysis.exclusion import Exclusion, apply_rules, gold_results
from eval.human.analysis.net_wins import NetWin, net_wins
from eval.human.analysis.preferences import (
    Mark,
    Preference,
    SystemScore,
    count_matrix,
    to_marks,
    to_preferences,
    to_scores,
)
from eval.human.analysis.reliability import STATISTICS, Reliability, with_interval
from eval.human.reporting.completeness import check_votes, missing_votes
from eval.human.schema import RaterRecord, VoteRecord
from eval.human.study import Study

ACCEPTED_RATING = 4  # ratings from here on count as accepted, as "same person" in personalization


@dataclass(frozen=True)
class AxisRatings:
    """Strengths (Bradley-Terry with ties) and Elo of all systems on one axis."""

    axis: str
    strengths: Strengths
    elo: list[EloRating]


@dataclass(frozen=True)
class ScoreRow:
    """Mean score of a system on an axis with ratings or sliders, and the fraction of ratings of 4 and 5."""

    axis: str
    system: str
    mean: Interval
    accepted: Interval | None


@dataclass(frozen=True)
class RaterRow:
    """One rater: votes, gold, repeats, sides, time, and the accuracy that the votes alone suggest."""

    rater: str
    num_votes: int
    gold: tuple[int, int]
    repeats: tuple[int, int]
    sides: tuple[int, int]
    median_time_s: float | None
    accuracy: float | None
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Results:
    """Everything that a report shows."""

    systems: tuple[str, ...]
    preferences: list[Preference]
    scores: list[SystemScore]
    net_wins: list[NetWin]
    score_rows: list[ScoreRow]
    reliability: dict[str, dict[str, Reliability]]
    ratings: list[AxisRatings]
    raters: list[RaterRow]
    effects: list[Effect]
    halo: list[Halo]
    identical: dict[str, int] = field(default_factory=dict)
    gold: tuple[int, int] = (0, 0)
    exclusion: Exclusion | None = None
    marks: list[Mark] = field(default_factory=list)
    notes: tuple[str, ...] = ()


def study_results(study: Study, votes: Sequence[VoteRecord], raters: Sequence[RaterRecord]) -> Results:
    """Return the results of a study's votes by its own exclusion rules and policies.

    Raises:
        ValueError: votes are of another study, or none is left after exclusion.
    """
    check_votes(study, votes)
    exclusion = apply_rules(votes, study.items, study.axes, raters, study.config.exclusion)
    votes = sorted(exclusion.votes, key=lambda vote: study.plan.axes.index(vote.axis))
    preferences = to_preferences(votes, study.items, study.axes, study.plan.systems)
    scores = to_scores(votes, study.items, study.axes)
    if not exclusion.num_votes:
        raise ValueError("report: there are no votes on compared items yet")
    if not preferences and not scores:
        raise ValueError(
            f"report: none of the {exclusion.num_votes} votes is left after exclusion "
            f"({_reasons(exclusion.dropped)}); see `exclusion` in study.yaml"
        )
    gold = gold_results(exclusion.votes, study.items)
    results = compute_results(
        preferences,
        scores,
        no_majority=study.config.no_majority,
        seed=study.config.seed,
        exclusion=exclusion,
        effects=session_effects(preferences, gold),
        identical=identical_results(exclusion.votes, study.items),
        gold=(sum(correct for _, correct in gold), len(gold)),
        notes=tuple(missing_votes(study, preferences, scores)),
    )
    return replace(results, marks=to_marks(exclusion.votes, study.items))


def compute_results(
    preferences: Sequence[Preference],
    scores: Sequence[SystemScore] = (),
    *,
    no_majority: str,
    seed: int = 0,
    exclusion: Exclusion | None = None,
    effects: Sequence[Effect] = (),
    identical: Mapping[str, int] | None = None,
    gold: tuple[int, int] = (0, 0),
    notes: tuple[str, ...] = (),
) -> Results:
    """Return the results of preferences and scores."""
    by_axis: dict[str, list[Preference]] = defaultdict(list)
    for each in preferences:
        by_axis[each.axis].append(each)
    bias = left_bias(preferences)
    systems = {name for each in preferences for name in (each.a, each.b)} | {each.system for each in scores}
    return Results(
        systems=tuple(sorted(systems)),
        preferences=list(preferences),
        scores=list(scores),
        net_wins=net_wins(preferences, no_majority=no_majority, seed=seed),
        score_rows=score_rows(scores, seed),
        reliability={axis: reliability(group, seed) for axis, group in by_axis.items()},
        ratings=[axis_ratings(axis, group, seed) for axis, group in by_axis.items()],
        raters=rater_rows(preferences, exclusion),
        effects=[*([bias] if bias else []), *effects],
        halo=halo(preferences),
        identical=dict(identical or {}),
        gold=gold,
        exclusion=exclusion,
        notes=notes,
    )


def reliability(preferences: Sequence[Preference], seed: int) -> dict[str, Reliability]:
    """Return all statistics of agreement of one axis; none if no item has two votes."""
    counts, clusters = count_matrix(preferences)
    if not (counts.sum(1) >= 2).any():
        return {}
    return {name: with_interval(each, counts, clusters, seed=seed) for name, each in STATISTICS.items()}


def axis_ratings(axis: str, preferences: Sequence[Preference], seed: int) -> AxisRatings:
    """Return strengths and Elo of the systems of one axis."""
    systems = sorted({name for each in preferences for name in (each.a, each.b)})
    codes = {name: index for index, name in enumerate(systems)}
    first = np.array([codes[each.a] for each in preferences], np.intp)
    second = np.array([codes[each.b] for each in preferences], np.intp)
    outcomes = np.array([each.value for each in preferences], np.intp)
    strengths = fit_strengths(systems, first, second, outcomes, [each.cluster for each in preferences])
    return AxisRatings(axis, strengths, elo_ratings(systems, first, second, outcomes, seed=seed))


def score_rows(scores: Sequence[SystemScore], seed: int) -> list[ScoreRow]:
    """Return the mean score of every axis and system, with intervals over prompts."""
    groups: dict[tuple[str, str], list[SystemScore]] = defaultdict(list)
    for each in scores:
        groups[each.axis, each.system].append(each)
    largest: dict[str, float] = defaultdict(float)
    for each in scores:
        largest[each.axis] = max(largest[each.axis], each.value)
    rows = []
    for (axis, system), group in groups.items():
        values, clusters = np.array([each.value for each in group]), [each.cluster for each in group]
        accepted = None
        if largest[axis] <= 5:
            accepted = mean_interval((values >= ACCEPTED_RATING).astype(float), clusters, kind="fraction")
        rows.append(ScoreRow(axis, system, mean_interval(values, clusters, seed=seed), accepted))
    return rows


def rater_rows(preferences: Sequence[Preference], exclusion: Exclusion | None) -> list[RaterRow]:
    """Return a row for each rater; accuracies are the mean over axes and pairs, weighted by votes."""
    groups: dict[tuple[str, str, str], list[Preference]] = defaultdict(list)
    for each in preferences:
        if each.rater:
            groups[each.axis, each.a, each.b].append(each)
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for group in groups.values():
        model = fit_raters(
            [each.item for each in group], [each.rater for each in group], [each.value + 1 for each in group]
        )
        for rater, accuracy, num in zip(model.raters, model.accuracy, model.num_votes, strict=True):
            sums[rater][0] += float(accuracy) * int(num)
            sums[rater][1] += int(num)
    accuracy_of = {rater: total / num for rater, (total, num) in sums.items()}
    if exclusion is None:
        counts: dict[str, int] = defaultdict(int)
        for each in preferences:
            counts[each.rater] += 1
        return [
            RaterRow(rater, num, (0, 0), (0, 0), (0, 0), None, accuracy_of.get(rater), ())
            for rater, num in sorted(counts.items())
            if rater
        ]
    return [
        RaterRow(
            each.rater,
            each.num_votes,
            each.gold,
            each.repeats,
            each.sides,
            each.median_time_s,
            accuracy_of.get(each.rater),
            each.reasons,
        )
        for each in exclusion.raters
    ]


def _reasons(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{reason}: {num}" for reason, num in dropped.items()) or "no votes on compared items"
