"""Compare two systems on the same samples: paired differences, a permutation test, Holm's correction."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from eval.core.intervals import Array, Interval, bootstrap_interval, group_sums
from src.core.rng import numpy_generator

NUM_PERMUTATIONS = 10_000


@dataclass(frozen=True)
class Difference:
    """Mean of B minus A over their common samples; `p` is two-sided, `p_holm` corrected over all scores."""

    metric: str
    score: str
    interval: Interval
    p: float
    p_holm: float


def permutation_p(
    differences: Sequence[float] | Array, groups: Sequence[Hashable] | None = None, *, seed: int = 0
) -> float:
    """Return the two-sided p value under random flips of the signs of groups of differences.

    Up to 12 groups all flips are enumerated. Above, random flips are drawn and the observed one is counted
    among them, so p is never 0 (Phipson and Smyth 2010).
    """
    sums, _ = group_sums(np.asarray(differences, np.float64), groups)
    num = len(sums)
    observed = abs(sums.sum())
    if num <= 12:
        signs = 1 - 2 * ((np.arange(2**num)[:, None] >> np.arange(num)) & 1)
        return float((np.abs(signs @ sums) >= observed * (1 - 1e-12)).mean())
    rng, hits, remaining = numpy_generator(seed, "permutation", num), 0, NUM_PERMUTATIONS
    while remaining:
        count = min(remaining, max(1, 4_000_000 // num))  # bounds the memory of the sign matrix
        signs = 1 - 2 * rng.integers(0, 2, (count, num))
        hits += int((np.abs(signs @ sums) >= observed * (1 - 1e-12)).sum())
        remaining -= count
    return (hits + 1) / (NUM_PERMUTATIONS + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return corrected p values in the same order (Holm 1979); needs no independence of the tests."""
    order = np.argsort(p_values, kind="stable")
    corrected, largest = np.empty(len(p_values)), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, (len(p_values) - rank) * p_values[index])
        corrected[index] = min(1.0, largest)
    return corrected.tolist()


Values = dict[tuple[str, str], dict[str, float]]
"""(metric, score) -> sample id -> value."""


def compare_systems(
    a: Values, b: Values, prompts: dict[str, str], *, seed: int = 0
) -> tuple[list[Difference], list[str]]:
    """Compare all scores that both systems have on common samples.

    Returns:
        The differences, and notes on samples that only one of the two systems has.
    """
    found, notes = [], []
    for metric, score in [key for key in a if key in b]:
        left, right = a[metric, score], b[metric, score]
        ids = [each for each in left if each in right]
        if missing := len(left) + len(right) - 2 * len(ids):
            notes.append(f"{score} ({metric}): {missing} values without a partner are left out")
        if not ids:
            continue
        differences = [right[each] - left[each] for each in ids]
        groups = [prompts[each] or each for each in ids]
        interval = bootstrap_interval(differences, groups, seed=seed)
        found.append((metric, score, interval, permutation_p(differences, groups, seed=seed)))
    corrected = holm([p for *_, p in found])
    return [Difference(*each, p_holm) for each, p_holm in zip(found, corrected, strict=True)], notes
