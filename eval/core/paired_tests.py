"""Compare two systems on the same samples: paired differences, a permutation test, Holm's correction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eval.core.clusters import Labels, cluster_means, clusters_of, group_codes, sums_by_code
from eval.core.intervals import (
    MIN_UNITS,
    Array,
    Interval,
    effective_number,
    interval_over_units,
    linearized_ratios,
    mean_interval,
)
from src.core.rng import numpy_generator

NUM_PERMUTATIONS = 10_000
MAX_ENUMERATED = 12  # clusters up to which all flips are enumerated

Key = tuple[str, str]
"""Metric, name of the value."""
Values = dict[Key, dict[str, float]]
"""Value of each sample by its id."""
Pooled = dict[Key, dict[str, tuple[float, float]]]
"""Numerator and denominator of each sample, of values that are pooled over samples."""


@dataclass(frozen=True)
class Difference:
    """B minus A over their common samples.

    `p` is two-sided, `p_holm` corrected over all tests of the comparison; both None if there was no test.
    """

    metric: str
    score: str
    interval: Interval
    p: float | None
    p_holm: float | None = None


def permutation_p(
    differences: Sequence[float] | Array, groups: Labels | None = None, *, seed: int = 0
) -> float:
    """Return the two-sided p value of a mean difference under random flips of the signs of clusters.

    Up to 12 clusters all flips are enumerated. Above, random flips are drawn and the observed one is counted
    among them, so p is never 0 (Phipson and Smyth 2010).
    """
    units = cluster_means(np.asarray(differences, np.float64), groups)
    return _flip_test(lambda signs: signs @ units, len(units), seed)


def ratio_permutation_p(a: tuple[Array, Array], b: tuple[Array, Array], *, seed: int = 0) -> float:
    """Return the two-sided p value of a difference of pooled ratios, when systems swap within clusters.

    Args:
        a, b: numerators and denominators of each cluster.
    """
    (top_a, bottom_a), (top_b, bottom_b) = a, b
    tops, bottoms = top_a + top_b, bottom_a + bottom_b

    def statistic(signs: Array) -> Array:
        top, bottom = signs @ (top_b - top_a), signs @ (bottom_b - bottom_a)
        ratios = []
        for sign in (1, -1):
            below = bottoms.sum() + sign * bottom
            above = tops.sum() + sign * top
            ratios.append(np.divide(above, below, out=np.zeros_like(above), where=below > 0))
        return ratios[0] - ratios[1]

    return _flip_test(statistic, len(tops), seed)


def _flip_test(statistic: Callable[[Array], Array], num: int, seed: int) -> float:
    """Return how often a statistic of random signs [flips, num] is as large as with all signs positive."""
    observed = abs(statistic(np.ones((1, num)))[0]) * (1 - 1e-12)
    if num <= MAX_ENUMERATED:
        signs = np.where((np.arange(2**num)[:, None] >> np.arange(num)) & 1, -1.0, 1.0)
        return float((np.abs(statistic(signs)) >= observed).mean())
    rng, hits, remaining = numpy_generator(seed, "permutation", num), 0, NUM_PERMUTATIONS
    while remaining:
        count = min(remaining, max(1, 4_000_000 // num))  # bounds the memory of the sign matrix
        signs = np.where(rng.integers(0, 2, (count, num)), -1.0, 1.0)
        hits += int((np.abs(statistic(signs)) >= observed).sum())
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


def compare_values(
    key: Key,
    a: Mapping[str, float],
    b: Mapping[str, float],
    prompts: Mapping[str, str],
    *,
    test: bool = True,
    seed: int = 0,
) -> Difference | None:
    """Compare the values of the samples that both have; None if there is none. `prompts`: by sample id.

    There is no test without `test`, below 5 clusters, or if no sample differs.
    """
    ids = [each for each in a if each in b]
    if not ids:
        return None
    differences = np.array([b[each] - a[each] for each in ids])
    groups = clusters_of([prompts[each] for each in ids], ids)
    interval = mean_interval(differences, groups, kind="difference", seed=seed)
    testable = test and interval.num_groups >= MIN_UNITS and bool(differences.any())
    return Difference(*key, interval, permutation_p(differences, groups, seed=seed) if testable else None)


def compare_pooled(
    key: Key,
    a: Mapping[str, tuple[float, float]],
    b: Mapping[str, tuple[float, float]],
    prompts: Mapping[str, str],
    *,
    test: bool = True,
    seed: int = 0,
) -> Difference | None:
    """Compare two pooled ratios over the samples that both have; None if one of them has nothing to count."""
    ids = [each for each in a if each in b]
    codes = group_codes(clusters_of([prompts[each] for each in ids], ids), len(ids)) if ids else None
    if codes is None:
        return None
    sums = [[sums_by_code(codes, [side[each][part] for each in ids]) for part in (0, 1)] for side in (a, b)]
    (top_a, bottom_a), (top_b, bottom_b) = sums
    if not bottom_a.any() or not bottom_b.any():
        return None
    used = (bottom_a > 0) | (bottom_b > 0)
    (top_a, bottom_a), (top_b, bottom_b) = left, right = [
        (top[used], bottom[used]) for top, bottom in ((top_a, bottom_a), (top_b, bottom_b))
    ]
    units = linearized_ratios(top_b, bottom_b) - linearized_ratios(top_a, bottom_a)
    num = sum(1 for each in ids if a[each][1] > 0 or b[each][1] > 0)
    degrees = effective_number(bottom_a / bottom_a.sum() + bottom_b / bottom_b.sum()) - 1
    interval = interval_over_units(
        units, num, clustered=True, kind="difference", name="t of ratios", degrees=degrees
    )
    differs = bool((top_a != top_b).any() or (bottom_a != bottom_b).any())
    testable = test and interval.num_groups >= MIN_UNITS and differs
    return Difference(*key, interval, ratio_permutation_p(left, right, seed=seed) if testable else None)
