"""Kernel distance (KID): unbiased squared maximum mean discrepancy under k(a, b) = (a.b / d + 1)^3.

Binkowski et al. 2018. Unbiased at every n, so it may be negative; the better choice below 2,000 samples.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.draws import generator
from eval.quality.features import Array, check_features

BLOCK = 2048  # rows of the kernel matrix held at a time


@dataclass(frozen=True)
class KernelDistance:
    """`value`, and each row's influence on it (of X [n], of Y [m])."""

    value: float
    influence_x: Array
    influence_y: Array


def kernel_distance(x_nd: NDArray[np.floating], y_md: NDArray[np.floating]) -> KernelDistance:
    """The U-statistic over all pairs: what the mean over random subsets estimates."""
    x, y = _checked(x_nd, y_md)
    n, m = len(x), len(y)
    within_x = (_row_sums(x, x) - _diagonal(x)) / (n - 1)
    within_y = (_row_sums(y, y) - _diagonal(y)) / (m - 1)
    cross_x, cross_y = _row_sums(x, y) / m, _row_sums(y, x) / n
    value = within_x.mean() + within_y.mean() - 2 * cross_x.mean()
    return KernelDistance(float(value), 2 * (within_x - cross_x), 2 * (within_y - cross_y))


def subset_distances(
    x_nd: NDArray[np.floating],
    y_md: NDArray[np.floating],
    *,
    num_subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> Array:
    """KID on random subsets without repetition, [num_subsets]: the mean and deviation papers report.

    Raises:
        ValueError: where a set has fewer rows than a subset.
    """
    x, y = _checked(x_nd, y_md)
    if subset_size < 2 or subset_size > min(len(x), len(y)):
        raise ValueError(f"subset_size: expected 2 to {min(len(x), len(y))}, got {subset_size}")
    out = np.empty(num_subsets)
    for i in range(num_subsets):
        rng = generator(seed, "kid", i)
        out[i] = kernel_distance(
            x[rng.choice(len(x), subset_size, replace=False)],
            y[rng.choice(len(y), subset_size, replace=False)],
        ).value
    return out


def _checked(x_nd: NDArray[np.floating], y_md: NDArray[np.floating]) -> tuple[Array, Array]:
    for name, z in (("features", x_nd), ("reference features", y_md)):
        check_features(z, minimum=2, name=name)
    if x_nd.shape[1] != y_md.shape[1]:
        raise ValueError(f"features: {x_nd.shape[1]} and {y_md.shape[1]} dimensions cannot be compared")
    return np.asarray(x_nd, np.float64), np.asarray(y_md, np.float64)


def _row_sums(a: Array, b: Array) -> Array:
    """Sum of k(a_i, b_j) over j, for each i."""
    out = np.empty(len(a))
    for start in range(0, len(a), BLOCK):
        kernel = a[start : start + BLOCK] @ b.T
        kernel /= a.shape[1]
        kernel += 1
        out[start : start + BLOCK] = np.einsum("ij,ij,ij->i", kernel, kernel, kernel)
    return out


def _diagonal(a: Array) -> Array:
    return (np.einsum("nd,nd->n", a, a) / a.shape[1] + 1) ** 3
