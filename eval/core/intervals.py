"""Confidence intervals of means: bootstrap over samples or groups of samples; Wilson's for proportions."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from src.core.rng import numpy_generator

Array = NDArray[np.float64]
NUM_RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval, in the unit of the values.

    `num` values in `num_groups` groups; `method` names the method and its resamples.
    """

    mean: float
    low: float
    high: float
    num: int
    num_groups: int
    method: str


def bootstrap_interval(
    values: Sequence[float] | np.ndarray,
    groups: Sequence[Hashable] | None = None,
    *,
    level: float = 0.95,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return the mean with its percentile bootstrap interval.

    With `groups`, complete groups (say the samples of one prompt) are resampled together: treating their
    members as independent makes intervals too short. If all values belong to one group they are resampled
    one by one, and the interval describes other samples of that prompt. The order of the values matters
    only by rounding; the draws depend only on `seed` and the number of groups.

    If all values are 0 or all are 1, every resample is equal and the interval would be empty; it is
    Wilson's then, and `method` states it.

    Raises:
        ValueError: there are no values, or some are not finite.
    """
    data = np.asarray(values, dtype=np.float64)
    if not len(data):
        raise ValueError("values: an interval needs at least one value")
    if not np.isfinite(data).all():
        raise ValueError(f"values: {int((~np.isfinite(data)).sum())} of {len(data)} are not finite")
    sums, sizes = group_sums(data, groups)
    mean = float(data.mean())
    if np.ptp(data) == 0 and mean in (0.0, 1.0):
        low, high = wilson_bounds(round(mean * len(sums)), len(sums), level=level)
        return Interval(mean, low, high, len(data), len(sums), "wilson")
    rng = numpy_generator(seed, "bootstrap", len(sums))
    means = np.empty(num_resamples)
    block = max(1, 4_000_000 // len(sums))  # bounds the memory of the index matrix
    for start in range(0, num_resamples, block):
        stop = min(start + block, num_resamples)
        picks = rng.integers(len(sums), size=(stop - start, len(sums)))
        means[start:stop] = sums[picks].sum(1) / sizes[picks].sum(1)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(mean, float(low), float(high), len(data), len(sums), f"bootstrap x{num_resamples}")


def wilson_bounds(successes: int, num: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion (Wilson 1927); both bounds lie within [0, 1]."""
    if num <= 0 or not 0 <= successes <= num:
        raise ValueError(f"successes, num: expected 0 <= successes <= num > 0, got {successes}, {num}")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    fraction = successes / num
    center = (fraction + z * z / (2 * num)) / (1 + z * z / num)
    half = z / (1 + z * z / num) * math.sqrt(fraction * (1 - fraction) / num + z * z / (4 * num * num))
    return max(0.0, center - half), min(1.0, center + half)


def group_sums(data: np.ndarray, groups: Sequence[Hashable] | None) -> tuple[np.ndarray, np.ndarray]:
    """Return sums and sizes of the resampling units: groups, or single values if there is only one group.

    A single group as the unit would make all resamples equal and the interval empty.
    """
    if groups is None:
        return data, np.ones(len(data))
    if len(groups) != len(data):
        raise ValueError(f"groups: {len(groups)} labels for {len(data)} values")
    codes: dict[Hashable, int] = {}
    index = np.array([codes.setdefault(group, len(codes)) for group in groups])
    if len(codes) == 1:
        return data, np.ones(len(data))
    return np.bincount(index, weights=data), np.bincount(index).astype(np.float64)
