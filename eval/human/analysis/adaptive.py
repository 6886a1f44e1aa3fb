"""Adaptive selection of pairs: the next items where they shorten the systems' intervals most.

The strengths of the systems (Bradley-Terry with ties) decide how much a vote on a pair tells: little where
one system wins nearly always. Items are given greedily to the pair that lowers the largest variances most.
Votes go to prompts that the pair does not have yet, one for each: a second vote on an item mostly repeats the
first. The study stops when every interval is short enough. That rule looks at lengths, never at the sign of a
difference, so intervals at the stopping time keep their coverage (`python -m eval.human coverage`).
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from eval.human.analysis.bradley_terry import Strengths, vote_information

Array = NDArray[np.float64]
Pair = tuple[int, int]
POWER = 8  # of the variances in the criterion: between their mean (1) and their largest (infinity)


def allocate_items(
    strengths: Array,
    tie: float,
    counts: Mapping[Pair, int],
    num_items: int,
    available: Mapping[Pair, int] | None = None,
) -> dict[Pair, int]:
    """Return how many of `num_items` further items each pair of systems gets.

    Args:
        strengths, tie: current estimates (`Strengths`).
        counts: items that each pair has already.
        available: items that each pair can still get; without it, any number.
    """
    num = len(strengths)
    pairs = list(combinations(range(num), 2))
    first, second = np.array([i for i, _ in pairs]), np.array([j for _, j in pairs])
    gains = vote_information(strengths[first] - strengths[second], tie)
    known = np.array([counts.get(pair, 0) for pair in pairs], float)
    directions = np.zeros((len(pairs), num))
    directions[np.arange(len(pairs)), first] = 1
    directions[np.arange(len(pairs)), second] = -1
    information = np.einsum("p,pi,pj->ij", gains * known, directions, directions)
    # strengths have mean 0: adding the constant direction makes the matrix regular and changes no variance
    covariance = np.linalg.inv(information + np.full((num, num), 1 / num) + 1e-9 * np.eye(num))
    left = np.array([available.get(pair, 0) if available is not None else num_items for pair in pairs])
    given = np.zeros(len(pairs), int)
    for _ in range(num_items):
        if not (left > 0).any():
            break
        spread = covariance @ directions.T  # [systems, pairs]
        variances = np.maximum(np.diag(covariance) - 1 / num, 1e-12)
        weights = (variances / variances.max()) ** (POWER - 1)
        shrink = gains / (1 + gains * (directions.T * spread).sum(0))
        benefit = np.where(left > 0, shrink * (weights @ spread**2), -np.inf)
        best = int(np.argmax(benefit))
        covariance = covariance - shrink[best] * np.outer(spread[:, best], spread[:, best])
        given[best] += 1
        left[best] -= 1
    return {pair: int(number) for pair, number in zip(pairs, given, strict=True) if number}


def is_precise(strengths: Strengths, half_width: float) -> bool:
    """Return whether every strength's interval has at most this half length."""
    return bool((strengths.half_widths() <= half_width).all())


def pair_counts(first: Sequence[int], second: Sequence[int], items: Sequence[object]) -> dict[Pair, int]:
    """Return the number of different items of each pair of systems."""
    seen: dict[Pair, set[object]] = {}
    for i, j, item in zip(first, second, items, strict=True):
        seen.setdefault((min(i, j), max(i, j)), set()).add(item)
    return {pair: len(group) for pair, group in seen.items()}
