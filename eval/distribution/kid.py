"""Kernel distance (KID): unbiased squared maximum mean discrepancy under k(a, b) = (a.b / d + 1)^3.

Binkowski et al. 2018. Unbiased at every n, so it may be negative; preferable to FID below 2,000 samples.
Pairs of rows of one video are left out, as those of a row with itself: they are alike in any set.

Sets below `MANY` multiplications are summed over all pairs, small ones in float64, others in a fast format
(`matmul.fast_dtype`). For larger sets only the third-order term is sampled, until its standard error is
negligible (`kernel_sums`). Memory: a few numbers for each row, two matrices [d, d] and blocks of 2,048 rows.

Legend: X [n, d] generated, Y [m, d] reference.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from eval.core.intervals import Array
from eval.distribution.feature_arrays import BLOCK, VideoRows, check_pair, mean_row
from eval.distribution.kernel_sums import CenteredSet, PairSums
from eval.distribution.matmul import SMALL, fast_dtype
from src.core.rng import numpy_generator

TOLERANCE = 1e-6  # standard error of the sampled term, relative to the distance ...
FLOOR = 2.0**-24  # ... or to the mean kernel, whose float32 resolution this is
MANY = 2**33  # multiplications from which on pairs are sampled
NUM_ROUNDS = 16  # minimum number of blocks per set, so that a fraction of the rounds can suffice


@dataclass(frozen=True)
class KernelDistance:
    """KID, its standard error from sampling pairs (0 if all were summed), influences of X [n] and Y [m]."""

    value: float
    error: float
    influence_x: Array
    influence_y: Array


def kernel_distance(
    x_nd: NDArray[np.floating],
    y_md: NDArray[np.floating],
    *,
    videos_x: VideoRows | None = None,
    videos_y: VideoRows | None = None,
    seed: int = 0,
) -> KernelDistance:
    """Return the U-statistic over all pairs, which the usual mean over random subsets estimates.

    Args:
        videos_x, videos_y: the videos of the rows; None means that each row is one.
        seed: of the order in which pairs of large sets are sampled.
    """
    check_pair(x_nd, y_md, minimum=2, videos=(videos_x, videos_y))
    dim, fewest = x_nd.shape[1], min(len(x_nd), len(y_md))
    small = len(x_nd) * len(y_md) * dim < SMALL
    # below 2 d rows the second moments, O(n d^2), would cost more than the pairs they save, O(n^2 d)
    sample_pairs = len(x_nd) * len(y_md) * dim >= MANY and fewest > 2 * dim
    # the same number of blocks in both sets, so that in a round each block meets exactly one other
    num_blocks = max(-(-max(len(x_nd), len(y_md)) // BLOCK), NUM_ROUNDS if sample_pairs else 1)
    center = mean_row(x_nd, y_md)
    dtype = torch.float64 if small else fast_dtype()
    x, y = (
        CenteredSet.from_rows(
            z,
            center,
            dtype,
            numpy_generator(seed, "kid", side).permutation(len(z)),
            num_blocks,
            sample_pairs,
            videos or VideoRows.of(None, len(z)),
        )
        for side, (z, videos) in enumerate(((x_nd, videos_x), (y_md, videos_y)))
    )
    sums = [PairSums(x, x), PairSums(y, y), PairSums(x, y)]
    while incomplete := [each for each in sums if not each.complete]:
        for each in incomplete:
            each.add_round()
        value, error = _combine(sums)
        # float32 sums cannot improve the value below FLOOR, however many pairs follow
        if sample_pairs and error <= max(TOLERANCE * abs(value), FLOOR * sums[2].mean):
            break
    value, error = _combine(sums)
    xx, yy, xy = sums
    # first-order (Hajek) projection of the U-statistic: each row enters two means, hence the factor of 2
    influence_x = 2 * (xx.row_means(0) - xy.row_means(0))
    influence_y = 2 * (yy.row_means(0) - xy.row_means(1))
    return KernelDistance(value, error, influence_x, influence_y)


def _combine(sums: list[PairSums]) -> tuple[float, float]:
    weights = (1, 1, -2)  # MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y)
    value = sum(weight * each.mean for weight, each in zip(weights, sums, strict=True))
    error = sum((weight * each.error) ** 2 for weight, each in zip(weights, sums, strict=True)) ** 0.5
    return float(value), float(error)
