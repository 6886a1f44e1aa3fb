"""Confidence intervals of means and pooled ratios, chosen by the kind of the values.

| values | interval |
|---|---|
| fewer than 5 independent units, or all equal | none; equal fractions of 0 or 1: Wilson's |
| independent 0/1 of a fraction | Wilson's score interval (Wilson 1927) |
| independent values, n < 50 | Student's t |
| independent values, n from 50 to 10,000 | bootstrap, BCa (Efron 1987); above, Student's t again |
| clustered values, 0/1 too | Student's t over the means of the clusters |
| pooled ratios | Student's t over the clusters' linearized ratios, with fewer degrees for unequal ones |

`python -m eval.sanity.coverage` simulates how often each contains the truth. No torch is imported here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from eval.core.clusters import Array, Labels, cluster_means, group_codes, sums_by_code
from src.core.rng import numpy_generator

Kind = Literal["real", "fraction", "difference"]
NUM_RESAMPLES = 2000
MIN_UNITS = 5  # independent values or clusters below which there is no interval
MIN_BCA, MAX_BCA = 50, 10_000  # numbers of values between which the bootstrap is used
SKEWNESS = 1.0  # absolute sample skewness above which Cochran's rule is applied
COCHRAN = 25  # a mean is near normal from 25 skewness^2 values on (Cochran 1977, section 2.15)


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval, in the unit of the values; no bounds if there is none.

    `num` values in `num_groups` clusters; `method` names the method. `skewed`: the sample is skewed and too
    small for its skewness, so that the interval contains the truth less often than it says. `num_reference`:
    of a distance between sets, the number of the reference's samples.
    """

    mean: float
    low: float | None
    high: float | None
    num: int
    num_groups: int
    method: str
    skewed: bool = False
    num_reference: int | None = None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Both bounds, or None if there is no interval."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def mean_interval(
    values: Sequence[float] | np.ndarray,
    groups: Labels | None = None,
    *,
    kind: Kind = "real",
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the mean with its interval.

    Args:
        groups: the cluster of each value, say its prompt. The mean is that of the clusters' means, so each
            cluster counts once: treating members as independent makes intervals too short.
        kind: "fraction" for values in 0..1, whose bounds stay there; "difference" never takes Wilson's.
        seed: of the bootstrap. The order of the values matters only by rounding.

    Raises:
        ValueError: there are no values, or some are not finite.
    """
    data = _check_values(values)
    units = cluster_means(data, groups)
    clustered = len(units) < len(data)
    return interval_over_units(units, len(data), clustered=clustered, kind=kind, level=level, seed=seed)


def ratio_interval(
    numerators: Sequence[float] | np.ndarray,
    denominators: Sequence[float] | np.ndarray,
    groups: Labels | None = None,
    *,
    kind: Kind = "real",
    level: float = 0.95,
) -> Interval:
    """Return sum(numerators) / sum(denominators) with its interval, such as a precision pooled over videos.

    Samples with a denominator of 0 have nothing to count, and are not in `num`.

    Raises:
        ValueError: the denominators sum to 0, or values are not finite.
    """
    top, bottom, num = _pooled_sums(numerators, denominators, groups)
    units, degrees = linearized_ratios(top, bottom), effective_number(bottom) - 1
    return interval_over_units(
        units, num, clustered=True, kind=kind, level=level, name="t of a ratio", degrees=degrees
    )


def linearized_ratios(numerators: Array, denominators: Array) -> Array:
    """Return one value for each unit whose mean is the pooled ratio R: R + (n - R d) / mean(d)."""
    ratio = numerators.sum() / denominators.sum()
    return ratio + (numerators - ratio * denominators) / denominators.mean()


def effective_number(weights: Array) -> float:
    """Return how many equal units vary as much as units of these weights (Kish 1965): 5 for 5 equal ones.

    A deviation estimated from few large units is as uncertain as one from that many values.
    """
    return float(weights.sum() ** 2 / (weights**2).sum())


def _pooled_sums(
    numerators: Sequence[float] | np.ndarray,
    denominators: Sequence[float] | np.ndarray,
    groups: Labels | None,
) -> tuple[Array, Array, int]:
    top, bottom = _check_values(numerators), _check_values(denominators)
    used = bottom > 0
    if not used.any():
        raise ValueError("denominators: all are 0")
    codes = group_codes(groups, len(top))[used]
    codes = np.unique(codes, return_inverse=True)[1]
    return sums_by_code(codes, top[used]), sums_by_code(codes, bottom[used]), int(used.sum())


def interval_over_units(
    units: Array,
    num: int,
    *,
    clustered: bool,
    kind: Kind,
    level: float = 0.95,
    seed: int = 0,
    name: str = "",
    degrees: float | None = None,
) -> Interval:
    """Return the interval of the mean of independent units, which stand for `num` values.

    Args:
        clustered: the units are means of clusters, not single values.
        name: of the method, if it is Student's t over clusters.
        degrees: of freedom of Student's t, if they are not the number of units - 1.
    """
    count, mean = len(units), float(units.mean())
    constant = np.ptp(units) <= 1e-12 * np.abs(units).max()
    two_valued = kind == "fraction" and bool(np.isin(units, (0.0, 1.0)).all())
    if count < MIN_UNITS:
        return Interval(mean, None, None, num, count, f"none, fewer than {MIN_UNITS}")
    if two_valued and (constant or not clustered):
        low, high = wilson_bounds(round(units.sum()), count, level=level)
        return Interval(mean, low, high, num, count, "wilson")
    if constant:
        return Interval(mean, None, None, num, count, "none, all equal")
    if clustered or not MIN_BCA <= count <= MAX_BCA:
        low, high = t_bounds(units, level=level, degrees=degrees)
        method = name or "t over clusters" if clustered else "t"
    else:
        low, high = bca_bounds(units, level=level, seed=seed)
        method = f"BCa x{NUM_RESAMPLES}"
    if kind == "fraction":
        low, high = max(low, 0.0), min(high, 1.0)
    return Interval(mean, low, high, num, count, method, skewed=is_skewed(units))


def t_bounds(values: Array, *, level: float = 0.95, degrees: float | None = None) -> tuple[float, float]:
    """Return Student's interval of the mean of two or more values; degrees of freedom are at least 1."""
    quantile = t_quantile(level, len(values) - 1 if degrees is None else max(degrees, 1.0))
    half = quantile * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def t_quantile(level: float, degrees: float) -> float:
    """Return the number of standard errors on each side of a two-sided Student interval."""
    from scipy.special import stdtrit  # slow to import: not for --help

    return float(stdtrit(degrees, 0.5 + level / 2))


def bca_bounds(
    values: Array, *, level: float = 0.95, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Return the bias-corrected and accelerated bootstrap interval of the mean (Efron 1987)."""
    normal, mean, deviations = NormalDist(), values.mean(), values - values.mean()
    means = _resampled_means(values, num_resamples, seed)
    below = (means < mean).mean() + 0.5 * (means == mean).mean()
    bias = normal.inv_cdf(min(max(float(below), 1e-6), 1 - 1e-6))
    # of a mean the jackknife's deviations are the values' own, up to a factor that cancels
    acceleration = float((deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5))
    levels = []
    for tail in (0.5 - level / 2, 0.5 + level / 2):
        z = bias + normal.inv_cdf(tail)
        levels.append(normal.cdf(bias + z / max(1 - acceleration * z, 1e-3)))
    low, high = np.quantile(means, levels)
    return float(low), float(high)


def _resampled_means(values: Array, num_resamples: int, seed: int) -> Array:
    rng, means = numpy_generator(seed, "bootstrap", len(values)), np.empty(num_resamples)
    block = max(1, 4_000_000 // len(values))  # bounds the memory of the index matrix
    for start in range(0, num_resamples, block):
        stop = min(start + block, num_resamples)
        means[start:stop] = values[rng.integers(len(values), size=(stop - start, len(values)))].mean(1)
    return means


def wilson_bounds(successes: int, num: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion (Wilson 1927); both bounds lie within [0, 1]."""
    if num <= 0 or not 0 <= successes <= num:
        raise ValueError(f"successes, num: expected 0 <= successes <= num > 0, got {successes}, {num}")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    fraction = successes / num
    center = (fraction + z * z / (2 * num)) / (1 + z * z / num)
    half = z / (1 + z * z / num) * math.sqrt(fraction * (1 - fraction) / num + z * z / (4 * num * num))
    return max(0.0, center - half), min(1.0, center + half)


def is_skewed(values: Array) -> bool:
    """Return whether a sample is skewed, and smaller than its skewness asks for by Cochran's rule."""
    skewness, num = abs(sample_skewness(values)), len(values)
    return skewness >= SKEWNESS and num < COCHRAN * skewness**2


def sample_skewness(values: Array) -> float:
    """Return the adjusted Fisher-Pearson skewness of three or more values; 0 if all are equal."""
    deviations, num = values - values.mean(), len(values)
    variance = float((deviations**2).mean())
    if num < 3 or variance == 0:
        return 0.0
    return float((deviations**3).mean() / variance**1.5 * math.sqrt(num * (num - 1)) / (num - 2))


def percentile_bounds(values: Sequence[float] | Array, *, level: float = 0.95) -> tuple[float, float]:
    """Return the bounds that leave equal tails of resampled values."""
    low, high = np.quantile(np.asarray(values, float), [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def _check_values(values: Sequence[float] | np.ndarray) -> Array:
    data = np.asarray(values, dtype=np.float64)
    if not len(data):
        raise ValueError("values: an interval needs at least one value")
    if not np.isfinite(data).all():
        raise ValueError(f"values: {int((~np.isfinite(data)).sum())} of {len(data)} are not finite")
    return data
