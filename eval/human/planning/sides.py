"""Left and right: which stimulus stands where, balanced in every group at once."""

from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from src.core.rng import numpy_generator


def balanced_flips(
    left_groups: Sequence[Sequence[Hashable]], right_groups: Sequence[Sequence[Hashable]], *, seed: int
) -> NDArray[np.bool_]:
    """Return random flips of tasks such that each group has as many as non-flips, or one more or less.

    Both arguments list for every task its groups from fine to coarse, nested: say (rater, axis, pair),
    (rater, axis), rater on the left and (item, axis), (pair, axis), axis on the right. Tasks are paired up
    within the finest groups, the remaining ones within the next groups, and so on, once for the left groups
    and once for the right ones. Two pairings together form paths and even cycles; alternating along them
    gives the members of every pair different colors, so that each group is off by one at most.
    """
    num = len(left_groups)
    rng = numpy_generator(seed, "human/sides", num)
    order = rng.permutation(num)
    partners = [_pair_up(groups, order) for groups in (left_groups, right_groups)]
    flips = np.full(num, -1, np.int8)
    for start in order:
        if flips[start] >= 0:
            continue
        color = int(rng.integers(2))
        flips[start] = color
        for side in (0, 1):  # walk both ways along the path through `start`
            task, previous_color, use = int(start), color, side
            while (other := partners[use][task]) >= 0 and flips[other] < 0:
                task, previous_color = other, 1 - previous_color
                flips[task] = previous_color
                use = 1 - use
    return flips.astype(bool)


def _pair_up(groups: Sequence[Sequence[Hashable]], order: NDArray[np.intp]) -> list[int]:
    """Return for each task its partner, or -1 for the ones that remain at the end."""
    partners = [-1] * len(groups)
    remaining = [int(task) for task in order]
    for level in range(len(groups[0]) if groups else 0):
        waiting: dict[Hashable, int] = {}
        rest: dict[int, None] = {}
        for task in remaining:
            name = groups[task][level]
            if name in waiting:
                other = waiting.pop(name)
                partners[task], partners[other] = other, task
                del rest[other]
            else:
                waiting[name] = task
                rest[task] = None
        remaining = list(rest)
    return partners


def imbalance(groups: Sequence[Hashable], flips: Sequence[bool] | NDArray[np.bool_]) -> dict[Hashable, int]:
    """Return for each group the number of flips minus the number of non-flips."""
    found: dict[Hashable, int] = defaultdict(int)
    for group, flip in zip(groups, flips, strict=True):
        found[group] += 1 if flip else -1
    return dict(found)
