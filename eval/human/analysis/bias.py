"""Effects that have nothing to do with systems: the left side, order and fatigue, halo between axes."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from eval.core.intervals import Interval, mean_interval
from eval.human.analysis.preferences import Preference
from eval.human.schema import Item, VoteRecord

THIRDS = 3


@dataclass(frozen=True)
class Effect:
    """A named effect with its interval over raters."""

    name: str
    unit: str
    interval: Interval


@dataclass(frozen=True)
class Halo:
    """Correlation between two axes: of one rater's votes on the same item, and of items' mean votes.

    `equal` is the fraction of equal answers of one rater to both axes; high values of all three say that the
    axes were not told apart.
    """

    first: str
    second: str
    within_raters: float
    num_within: int
    equal: float
    between_items: float
    num_items: int


def left_bias(preferences: Sequence[Preference]) -> Effect | None:
    """Return the preference for the left side, in points of 100: left minus right over all answers."""
    sides = [(each.side, each.rater) for each in preferences if each.side is not None]
    if not sides:
        return None
    values = 100 * np.array([side for side, _ in sides], float)
    raters = [rater for _, rater in sides]
    return Effect("left bias", "points", mean_interval(values, raters, kind="difference"))


def session_effects(
    preferences: Sequence[Preference], gold: Sequence[tuple[VoteRecord, bool]]
) -> list[Effect]:
    """Return how the last third of a session differs from its first third, as differences within raters.

    Effects: time for an answer, fraction of "equal", preference for the left side, gold items correct.
    """
    by_rater: dict[str, list[Preference]] = defaultdict(list)
    for each in preferences:
        by_rater[each.rater].append(each)
    last_index = {rater: max(each.index for each in votes) for rater, votes in by_rater.items()}
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for votes in by_rater.values():
        ordered = sorted(votes, key=lambda each: each.index)
        size = len(ordered) // THIRDS
        if size < 2:
            continue
        start, end = ordered[:size], ordered[-size:]
        found["time for an answer", "s"].append(_mean(e.time_s for e in end) - _mean(e.time_s for e in start))
        found["answers of equal", "points"].append(
            100 * (_mean(e.value == 0 for e in end) - _mean(e.value == 0 for e in start))
        )
        found["left bias", "points"].append(
            100 * (_mean(e.side or 0 for e in end) - _mean(e.side or 0 for e in start))
        )
    halves: dict[str, tuple[list[bool], list[bool]]] = defaultdict(lambda: ([], []))
    for vote, correct in gold:
        late = vote.index > last_index.get(vote.rater, 0) / 2
        halves[vote.rater][late].append(correct)
    for first, second in halves.values():
        if first and second:
            found["gold correct (halves)", "points"].append(100 * (_mean(second) - _mean(first)))
    return [
        Effect(name, unit, mean_interval(values, kind="difference"))
        for (name, unit), values in found.items()
        if values
    ]


def halo(preferences: Sequence[Preference]) -> list[Halo]:
    """Return correlations between all pairs of axes that have items in common."""
    by_axis: dict[str, dict[tuple[str, str], int]] = defaultdict(dict)
    means: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for each in preferences:
        key = f"{each.sample}\0{each.a}\0{each.b}"
        by_axis[each.axis][each.rater, key] = each.value
        means[each.axis][key].append(each.value)
    found = []
    for first, second in combinations(by_axis, 2):
        same = [key for key in by_axis[first] if key in by_axis[second]]
        pairs = np.array([(by_axis[first][key], by_axis[second][key]) for key in same], float).reshape(-1, 2)
        items = [key for key in means[first] if key in means[second]]
        item_pairs = np.array(
            [(np.mean(means[first][key]), np.mean(means[second][key])) for key in items], float
        ).reshape(-1, 2)
        if len(items) or len(same):
            equal = float((pairs[:, 0] == pairs[:, 1]).mean()) if len(same) else math.nan
            found.append(
                Halo(
                    first, second, _correlation(pairs), len(same), equal, _correlation(item_pairs), len(items)
                )
            )
    return found


def identical_results(votes: Sequence[VoteRecord], items: Mapping[str, Item]) -> dict[str, int]:
    """Return the number of answers left, right and equal to pairs of identical clips."""
    counts = {"left": 0, "right": 0, "equal": 0}
    for vote in votes:
        if items[vote.item].kind == "identical" and "choice" in vote.answer:
            counts[vote.answer["choice"]] += 1
    return counts


def _correlation(pairs: np.ndarray) -> float:
    if len(pairs) < 3 or not np.ptp(pairs, axis=0).all():
        return math.nan
    return float(np.corrcoef(pairs.T)[0, 1])


def _mean(values: object) -> float:
    return float(np.mean(list(values)))  # type: ignore[call-overload]
