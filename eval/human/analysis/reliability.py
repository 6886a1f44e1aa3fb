"""Agreement between raters, from the counts [items, categories] of their votes, which may differ in number.

Items with fewer than two votes say nothing about agreement and are left out. Every statistic takes `weights`
of items, so that a bootstrap over prompts needs no copies.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.core.clusters import bootstrap_counts, group_codes
from eval.core.intervals import percentile_bounds

Counts = NDArray[np.float64]
NUM_RESAMPLES = 1000
MIN_CLUSTERS = 5


@dataclass(frozen=True)
class Reliability:
    """A statistic with its 95 % bootstrap interval over prompts (None below 5 of them)."""

    value: float
    low: float | None
    high: float | None
    num_items: int


def percent_agreement(counts: Counts, weights: NDArray | None = None) -> float:
    """Return the mean over items of the fraction of pairs of raters with the same answer."""
    counts, weights = _usable(counts, weights)
    return float(np.average(_pair_agreement(counts), weights=weights))


def fleiss_kappa(counts: Counts, weights: NDArray | None = None) -> float:
    """Return Fleiss' kappa (1971) for any numbers of raters per item.

    An item's agreement is the fraction of its pairs of raters that agree; chance agreement comes from the
    pooled votes. With equal numbers this is the published formula. Undefined (nan) if all votes are equal.
    """
    counts, weights = _usable(counts, weights)
    agreement = np.average(_pair_agreement(counts), weights=weights)
    pooled = weights @ counts
    chance = float(((pooled / pooled.sum()) ** 2).sum())
    return float((agreement - chance) / (1 - chance)) if chance < 1 else float("nan")


def gwet_ac1(counts: Counts, weights: NDArray | None = None) -> float:
    """Return Gwet's AC1 (2008), whose chance agreement does not grow when one category prevails."""
    counts, weights = _usable(counts, weights)
    agreement = np.average(_pair_agreement(counts), weights=weights)
    prevalence = np.average(counts / counts.sum(1, keepdims=True), axis=0, weights=weights)
    chance = float((prevalence * (1 - prevalence)).sum() / (counts.shape[1] - 1))
    return float((agreement - chance) / (1 - chance))


def krippendorff_alpha(counts: Counts, weights: NDArray | None = None, *, level: str = "nominal") -> float:
    """Return Krippendorff's alpha (2011) of nominal, ordinal or interval categories 0..k - 1.

    Undefined (nan) if all votes are equal.
    """
    counts, weights = _usable(counts, weights)
    sizes = counts.sum(1)
    scaled = weights / (sizes - 1)
    coincidence = np.einsum("i,ij,ik->jk", scaled, counts, counts) - np.diag(scaled @ counts)
    totals = coincidence.sum(1)
    distance = _squared_distances(totals, level)
    expected = (np.outer(totals, totals) * distance).sum() / (totals.sum() - 1)
    return float(1 - (coincidence * distance).sum() / expected) if expected > 0 else float("nan")


def with_interval(
    statistic: Callable[[Counts, NDArray | None], float],
    counts: Counts,
    clusters: Sequence[str],
    *,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
) -> Reliability:
    """Return a statistic with the percentile bounds of resampling complete prompts."""
    usable = counts.sum(1) >= 2
    if not usable.any():
        return Reliability(float("nan"), None, None, 0)
    counts = counts[usable]
    codes = group_codes([c for c, use in zip(clusters, usable, strict=True) if use], len(counts))
    value = statistic(counts, None)
    if codes.max() + 1 < MIN_CLUSTERS:
        return Reliability(value, None, None, len(counts))
    draws = bootstrap_counts([codes], num_resamples, seed=seed)
    resampled = [statistic(counts, drawn.astype(float)) for drawn in draws]
    finite = [each for each in resampled if np.isfinite(each)]
    low, high = percentile_bounds(finite) if finite else (None, None)
    return Reliability(value, low, high, len(counts))


STATISTICS: dict[str, Callable[[Counts, NDArray | None], float]] = {
    "agreement": percent_agreement,
    "fleiss_kappa": fleiss_kappa,
    "alpha_nominal": krippendorff_alpha,
    "alpha_ordinal": lambda counts, weights: krippendorff_alpha(counts, weights, level="ordinal"),
    "gwet_ac1": gwet_ac1,
}


def _usable(counts: Counts, weights: NDArray | None) -> tuple[Counts, NDArray]:
    counts = np.asarray(counts, float)
    weights = np.ones(len(counts)) if weights is None else np.asarray(weights, float)
    use = (counts.sum(1) >= 2) & (weights > 0)
    if not use.any():
        raise ValueError("counts: agreement needs an item with two votes")
    return counts[use], weights[use]


def _pair_agreement(counts: Counts) -> NDArray[np.float64]:
    sizes = counts.sum(1)
    return (counts * (counts - 1)).sum(1) / (sizes * (sizes - 1))


def _squared_distances(totals: NDArray[np.float64], level: str) -> NDArray[np.float64]:
    categories = np.arange(len(totals))
    if level == "nominal":
        return (categories[:, None] != categories).astype(float)
    if level == "interval":
        return (categories[:, None] - categories).astype(float) ** 2
    if level == "ordinal":
        # ranks: all values between two categories count, of the categories themselves one half
        ends = np.cumsum(totals) - totals / 2
        return (ends[:, None] - ends) ** 2
    raise ValueError(f"level: expected nominal, ordinal or interval, got {level!r}")
