"""Votes turned from positions of the screen into preferences between systems and scores of systems."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from eval.human.answers import preference
from eval.human.schema import Axis, Item, VoteRecord

NUM_CATEGORIES = 3  # preference for B, equal, preference for A


@dataclass(frozen=True)
class Preference:
    """One rater's preference on one item and axis: `value` 1 for system `a`, -1 for `b`, 0 for equal.

    `cluster` is the prompt. `left` is the system at the left; `side` is 1 if left was preferred, -1 for
    right, 0 for equal; both empty for answers to more than two stimuli.
    """

    rater: str
    axis: str
    item: str
    sample: str
    cluster: str
    a: str
    b: str
    value: int
    left: str = ""
    side: int | None = None
    index: int = 0
    time_s: float = 0.0
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class SystemScore:
    """One rater's score of one clip: 1 to 5 for ratings, 0 to 100 for sliders."""

    rater: str
    axis: str
    sample: str
    cluster: str
    system: str
    value: float
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mark:
    """A moment at which a rater saw or heard a clip break, in seconds from its start."""

    rater: str
    axis: str
    sample: str
    system: str
    seconds: float


def to_preferences(
    votes: Iterable[VoteRecord],
    items: Mapping[str, Item],
    axes: Mapping[str, Axis],
    systems: Sequence[str],
) -> list[Preference]:
    """Return the preferences of votes on compared items; of N stimuli every pair gives one.

    Of two systems `a` is the one that comes first in `systems`.
    """
    found, rank = [], {name: index for index, name in enumerate(systems)}
    for vote in votes:
        item = items[vote.item]
        if item.kind != "pair" or axes[vote.axis].answer == "rating":
            continue
        for i, j in combinations(range(len(item.stimuli)), 2):
            if rank[item.systems[j]] < rank[item.systems[i]]:
                i, j = j, i
            value = preference(vote.answer, vote.order, i, j)
            assert value is not None
            two = len(item.stimuli) == 2
            found.append(
                Preference(
                    rater=vote.rater,
                    axis=vote.axis,
                    item=item.id,
                    sample=item.sample,
                    cluster=item.prompt or item.sample,
                    a=item.systems[i],
                    b=item.systems[j],
                    value=value,
                    left=item.systems[vote.order[0]] if two else "",
                    side=(value if vote.order[0] == i else -value) if two else None,
                    index=vote.index,
                    time_s=vote.evidence.time_s,
                    tags=item.tags,
                )
            )
    return found


def to_scores(
    votes: Iterable[VoteRecord],
    items: Mapping[str, Item],
    axes: Mapping[str, Axis],
) -> list[SystemScore]:
    """Return the scores of clips from votes on axes with ratings or sliders."""
    found = []
    for vote in votes:
        item, answer = items[vote.item], axes[vote.axis].answer
        if item.kind != "pair" or answer not in ("rating", "mushra"):
            continue
        values = [vote.answer["rating"]] if answer == "rating" else vote.answer["ratings"]
        for position, value in enumerate(values):
            system = item.systems[vote.order[position]]
            cluster = item.prompt or item.sample
            found.append(
                SystemScore(vote.rater, vote.axis, item.sample, cluster, system, float(value), item.tags)
            )
    return found


def to_marks(votes: Iterable[VoteRecord], items: Mapping[str, Item]) -> list[Mark]:
    """Return the marked breaks of votes on compared items."""
    return [
        Mark(
            rater=vote.rater,
            axis=vote.axis,
            sample=items[vote.item].sample,
            system=items[vote.item].systems[vote.order[int(mark["position"])]],
            seconds=float(mark["seconds"]),
        )
        for vote in votes
        if items[vote.item].kind == "pair"
        for mark in vote.marks
    ]


def count_matrix(preferences: Sequence[Preference]) -> tuple[np.ndarray, list[str]]:
    """Return counts [items, 3] of votes for B, equal, A, and the prompt of each row."""
    rows: dict[tuple[str, str, str], np.ndarray] = defaultdict(lambda: np.zeros(NUM_CATEGORIES))
    clusters = {}
    for each in preferences:
        key = (each.item, each.a, each.b)
        rows[key][each.value + 1] += 1
        clusters[key] = each.cluster
    return np.array(list(rows.values())).reshape(-1, NUM_CATEGORIES), [clusters[key] for key in rows]
