"""What every metric over features asks of them, and how intervals are made from influences.

Rows are taken a block at a time, so they may lie in a file (`numpy.memmap`): no metric holds all of them.
"""

from collections.abc import Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from eval.core.draws import generator
from eval.core.intervals import NUM_RESAMPLES, Interval, group_sums

Array = NDArray[np.float64]
BLOCK = 2048  # rows held at a time


def blocks(num: int, size: int = BLOCK) -> Iterator[slice]:
    """Slices of at most `size` that cover `num` rows in order."""
    for start in range(0, num, size):
        yield slice(start, min(start + size, num))


def check_features(features: NDArray[np.floating], *, minimum: int, name: str = "features") -> None:
    """Refuse what cannot be measured.

    Raises:
        ValueError: not [n, d] floats, fewer rows than `minimum`, or a row that is not finite.
    """
    if features.ndim != 2 or not np.issubdtype(features.dtype, np.floating) or not features.shape[1]:
        raise ValueError(f"{name}: expected floats [n, d], got {features.dtype} {list(features.shape)}")
    if len(features) < minimum:
        raise ValueError(f"{name}: at least {minimum} rows are needed, got {len(features)}")
    finite = np.concatenate([np.isfinite(features[rows]).all(1) for rows in blocks(len(features))])
    bad = np.flatnonzero(~finite)
    if len(bad):
        raise ValueError(f"{name}: {len(bad)} of {len(features)} rows are not finite, the first is {bad[0]}")


def check_pair(x_nd: NDArray[np.floating], y_md: NDArray[np.floating], *, minimum: int) -> None:
    """Refuse two sets that cannot be compared.

    Raises:
        ValueError: as `check_features`, or for rows of different lengths.
    """
    for name, z in (("features", x_nd), ("reference features", y_md)):
        check_features(z, minimum=minimum, name=name)
    if x_nd.shape[1] != y_md.shape[1]:
        raise ValueError(f"features: {x_nd.shape[1]} and {y_md.shape[1]} dimensions cannot be compared")


def mean_of(*sets: NDArray[np.floating]) -> Array:
    """Mean row [d] of all sets together."""
    sums = [np.sum(z[rows], 0, dtype=np.float64) for z in sets for rows in blocks(len(z))]
    return np.sum(sums, 0) / sum(map(len, sets))


def linearised_interval(
    value: float,
    influences: Sequence[Array],
    groups: Sequence[Sequence[Hashable] | None] | None = None,
    *,
    level: float = 0.95,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Interval of a number that is no mean, by a bootstrap of its first-order expansion.

    Resampling rows and computing again would cost thousands of decompositions, and repeated rows bias
    distances upwards. Instead the derivative towards each row is resampled: value + sum over the sets
    of the mean influence of the drawn rows. It tells how far the number would move with other samples
    of the same size, not how far its own bias is from zero.

    Args:
        influences: one array for each independent set of rows; any constant in it does not matter.
        groups: for each set the label of each row (its prompt); whole groups are drawn together.
    """
    moves, num, num_groups = np.zeros(num_resamples), 0, 0
    for side, rows in enumerate(influences):
        sums, sizes = group_sums(rows - rows.mean(), None if groups is None else groups[side])
        rng = generator(seed, "linearised", side, len(sums))
        block = max(1, 4_000_000 // len(sums))
        for start in range(0, num_resamples, block):
            stop = min(start + block, num_resamples)
            picks = rng.integers(len(sums), size=(stop - start, len(sums)))
            moves[start:stop] += sums[picks].sum(1) / sizes[picks].sum(1)
        num, num_groups = num or len(rows), num_groups or len(sums)
    tail = (1 - level) / 2
    low, high = np.quantile(moves, [tail, 1 - tail])
    method = f"linearised bootstrap x{num_resamples}"
    return Interval(value, value + float(low), value + float(high), num, num_groups, method)
