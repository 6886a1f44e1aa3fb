"""Check that votes belong to a study, and count those that are planned but missing."""

from collections import defaultdict
from collections.abc import Sequence

from eval.human.analysis.preferences import Preference, SystemScore
from eval.human.schema import VoteRecord
from eval.human.study import Study


def check_votes(study: Study, votes: Sequence[VoteRecord]) -> None:
    """Check that votes are on items, axes and sides of the study.

    Raises:
        ValueError: one line with the first vote that is not.
    """
    known = {
        (slot.id, task.item, task.axis): task.order for slot in study.slots.values() for task in slot.tasks
    }
    for number, vote in enumerate(votes, 1):
        order = known.get((vote.slot, vote.item, vote.axis))
        if order is None:
            raise ValueError(
                f"votes: vote {number} (rater {vote.rater}) is on item {vote.item}, {vote.axis} of session "
                f"{vote.slot}, which plan {study.plan.hash[:12]} does not contain; is it of another study?"
            )
        if order != vote.order:
            raise ValueError(
                f"votes: vote {number} (rater {vote.rater}) saw the sides {list(vote.order)} of {vote.item}, "
                f"planned were {list(order)}"
            )


def missing_votes(
    study: Study, preferences: Sequence[Preference], scores: Sequence[SystemScore]
) -> list[str]:
    """Return for each axis how many compared items have fewer counted votes than planned."""
    got: dict[tuple[str, str], set[str]] = defaultdict(set)
    for each in preferences:
        got[each.axis, each.item].add(each.rater)
    rated: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for score in scores:
        rated[score.axis, score.sample, score.system].add(score.rater)
    planned: dict[tuple[str, str], int] = defaultdict(int)
    for slot in study.slots.values():
        for task in slot.tasks:
            planned[task.axis, task.item] += study.items[task.item].kind == "pair"
    short: dict[str, int] = defaultdict(int)
    for (axis, name), num in planned.items():
        item = study.items[name]
        answered = got[axis, name] or rated[axis, item.sample, item.systems[0]]
        short[axis] += len(answered) < num
    return [
        f"{axis}: {num} items have fewer counted votes than planned" for axis, num in short.items() if num
    ]
