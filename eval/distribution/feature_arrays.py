"""Checks and block-wise access to feature arrays, and intervals from influence functions.

Rows are read in blocks, so arrays may be files (`numpy.memmap`): no metric holds all rows in memory.
"""

from collections.abc import Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from eval.core.intervals import NUM_RESAMPLES, Array, Interval, group_sums
from src.core.rng import numpy_generator

BLOCK = 2048  # rows in memory at a time


def blocks(num: int, size: int = BLOCK) -> Iterator[slice]:
    """Yield slices of at most `size` that cover `num` rows in order."""
    for start in range(0, num, size):
        yield slice(start, min(start + size, num))


def check_features(features: NDArray[np.floating], *, minimum: int, name: str = "features") -> None:
    """Check that features are finite floats [n, d].

    Raises:
        ValueError: they are not, or there are fewer rows than `minimum`.
    """
    if features.ndim != 2 or not np.issubdtype(features.dtype, np.floating) or not features.shape[1]:
        raise ValueError(f"{name}: expected floats [n, d], got {features.dtype} {list(features.shape)}")
    if len(features) < minimum:
        raise ValueError(f"{name}: expected at least {minimum} rows, got {len(features)}")
    finite = np.concatenate([np.isfinite(features[rows]).all(1) for rows in blocks(len(features))])
    bad = np.flatnonzero(~finite)
    if len(bad):
        raise ValueError(f"{name}: {len(bad)} of {len(features)} rows are not finite, first row {bad[0]}")


def check_pair(x_nd: NDArray[np.floating], y_md: NDArray[np.floating], *, minimum: int) -> None:
    """Check two sets before they are compared.

    Raises:
        ValueError: as `check_features`, or their dimensions differ.
    """
    for name, z in (("features", x_nd), ("reference features", y_md)):
        check_features(z, minimum=minimum, name=name)
    if x_nd.shape[1] != y_md.shape[1]:
        raise ValueError(f"feature dimension mismatch: {x_nd.shape[1]} vs {y_md.shape[1]}")


def mean_row(*sets: NDArray[np.floating]) -> Array:
    """Return the mean row [d] of all sets together."""
    sums = [np.sum(z[rows], 0, dtype=np.float64) for z in sets for rows in blocks(len(z))]
    return np.sum(sums, 0) / sum(map(len, sets))


def linearized_interval(
    value: float,
    influences: Sequence[Array],
    groups: Sequence[Sequence[Hashable] | None] | None = None,
    *,
    level: float = 0.95,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return the interval of a statistic that is not a mean, by a bootstrap of its first-order expansion.

    Recomputing the statistic for each resample would take thousands of decompositions, and the repeated rows
    of a resample bias distances upwards. Instead its derivative towards each row is resampled: value + sum
    over the sets of the mean influence of the drawn rows. The interval describes the variation over other
    samples of the same size, not the bias of the statistic.

    Args:
        influences: one array for each independent set of rows; adding a constant changes nothing.
        groups: for each set the label of each row (its prompt); complete groups are resampled together.
    """
    moves, num, num_groups = np.zeros(num_resamples), 0, 0
    for side, rows in enumerate(influences):
        sums, sizes = group_sums(rows - rows.mean(), None if groups is None else groups[side])
        rng = numpy_generator(seed, "linearised", side, len(sums))
        block = max(1, 4_000_000 // len(sums))  # bounds the memory of the index matrix
        for start in range(0, num_resamples, block):
            stop = min(start + block, num_resamples)
            picks = rng.integers(len(sums), size=(stop - start, len(sums)))
            moves[start:stop] += sums[picks].sum(1) / sizes[picks].sum(1)
        num, num_groups = num or len(rows), num_groups or len(sums)
    tail = (1 - level) / 2
    low, high = np.quantile(moves, [tail, 1 - tail])
    method = f"linearized bootstrap x{num_resamples}"
    return Interval(value, value + float(low), value + float(high), num, num_groups, method)
