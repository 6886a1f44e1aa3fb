"""Precision, recall, density and coverage: is what is made plausible, is what is real covered?

Each real row spans a ball whose radius is the distance to its k-th nearest other real row.
Precision and recall: Kynkaanniemi et al. 2019; density and coverage: Naeem et al. 2020.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.quality.features import Array, check_features

BLOCK = 1024  # rows of the distance matrix held at a time


@dataclass(frozen=True)
class Manifold:
    """Per-row values whose means are the metrics: precision and density over X, recall and coverage over Y.

    precision_n: the row lies in some real ball. density_n: in how many, divided by k. recall_m: the real
    row lies in some ball of X. coverage_m: some row of X lies in this real row's ball.
    """

    precision_n: Array
    density_n: Array
    recall_m: Array
    coverage_m: Array


def manifold(x_nd: NDArray[np.floating], y_md: NDArray[np.floating], *, k: int = 5) -> Manifold:
    """Compare X with the reference Y in O(n m) time and O(n + m) memory.

    Raises:
        ValueError: where a set has not more than k rows.
    """
    for name, z in (("features", x_nd), ("reference features", y_md)):
        check_features(z, minimum=k + 1, name=name)
    if x_nd.shape[1] != y_md.shape[1]:
        raise ValueError(f"features: {x_nd.shape[1]} and {y_md.shape[1]} dimensions cannot be compared")
    centre = np.asarray(y_md, np.float64).mean(0)  # smaller numbers, smaller errors of differences
    x, y = np.asarray(x_nd, np.float64) - centre, np.asarray(y_md, np.float64) - centre
    radii_n, radii_m = squared_radii(x, k), squared_radii(y, k)
    hits = np.zeros(len(x))
    recall, coverage = np.zeros(len(y), bool), np.zeros(len(y), bool)
    for start in range(0, len(x), BLOCK):
        rows = slice(start, start + BLOCK)
        distance = squared_distances(x[rows], y)
        inside = distance <= radii_m
        hits[rows] = inside.sum(1)
        coverage |= inside.any(0)
        recall |= (distance <= radii_n[rows, None]).any(0)
    return Manifold((hits > 0).astype(np.float64), hits / k, recall.astype(float), coverage.astype(float))


def squared_radii(z: Array, k: int) -> Array:
    """Squared distance of each row to its k-th nearest other row."""
    out = np.empty(len(z))
    for start in range(0, len(z), BLOCK):
        rows = slice(start, min(start + BLOCK, len(z)))
        distance = squared_distances(z[rows], z)
        distance[np.arange(len(distance)), np.arange(start, rows.stop)] = np.inf
        out[rows] = np.partition(distance, k - 1, axis=1)[:, k - 1]
    return out


def squared_distances(a: Array, b: Array) -> Array:
    """[n, m] squared Euclidean distances, none below 0."""
    out = a @ b.T
    out *= -2
    out += np.einsum("nd,nd->n", a, a)[:, None]
    out += np.einsum("md,md->m", b, b)
    return np.maximum(out, 0, out=out)
