"""Precision, recall, density and coverage: is what is made plausible, is what is real covered?

Each real row spans a ball whose radius is the distance to its k-th nearest other real row.
Precision and recall: Kynkaanniemi et al. 2019; density and coverage: Naeem et al. 2020.

All distances are screened in float32, whose error is bounded; whatever that error leaves open is decided
in float64, so the result is float64's.

Legend: X [n, d] judged, Y [m, d] reference; S [n, m] sums of squared norms.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eval.quality.features import Array, check_features
from eval.quality.products import float32_error, products, rows_of

BLOCK = 512  # rows of the distance matrix held at a time


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
    largest = max(np.abs(x).max(), np.abs(y).max())
    scale = 2.0 ** -np.ceil(np.log2(largest)) if largest else 1.0  # exact; no square overflows
    one, other = _Rows.of(x * scale), _Rows.of(y * scale)
    radii_n, radii_m = squared_radii(one, k), squared_radii(other, k)
    hits = np.zeros(len(x))
    recall, coverage = np.zeros(len(y), bool), np.zeros(len(y), bool)
    for rows, low, high in _screened(one, other):
        inside = _at_most(low, high, torch.from_numpy(radii_m), one, other, rows.start)
        hits[rows] = inside.sum(1)
        coverage |= inside.any(0).numpy()
        recall |= (
            _at_most(low, high, torch.from_numpy(radii_n[rows, None]), one, other, rows.start).any(0).numpy()
        )
    return Manifold((hits > 0).astype(np.float64), hits / k, recall.astype(float), coverage.astype(float))


@dataclass(frozen=True)
class _Rows:
    """Rows, their squared norms, and as they are multiplied."""

    exact: Array
    squares: Tensor
    fast: Tensor

    @classmethod
    def of(cls, z: Array) -> Self:
        return cls(z, torch.from_numpy(np.einsum("nd,nd->n", z, z)).float(), rows_of(z, torch.float32))


def _screened(a: _Rows, b: _Rows) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Blocks of rows with bounds below and above all squared distances to b, [rows, m] each."""
    error = float32_error(a.exact.shape[1])  # 2 |a| |b| is at most |a|^2 + |b|^2
    for start in range(0, len(a.exact), BLOCK):
        rows = slice(start, min(start + BLOCK, len(a.exact)))
        high = a.squares[rows, None] + b.squares
        low = high * (1 - error)
        high *= 1 + error
        twice = products(a.fast[rows], b.fast).mul_(2)
        low -= twice
        high -= twice
        yield rows, low, high


def _at_most(low: Tensor, high: Tensor, limit: Tensor, a: _Rows, b: _Rows, start: int) -> Tensor:
    """bool [rows, m]: whether each squared distance is at most its limit."""
    rough = limit.float()  # the error that the bounds allow for includes this rounding
    inside = high <= rough
    i, j = ((low <= rough) & ~inside).nonzero(as_tuple=True)
    limits = limit.expand(low.shape)[i, j].numpy()
    inside[i, j] = torch.from_numpy(_exact(a, b, i.numpy() + start, j.numpy()) <= limits)
    return inside


def _exact(a: _Rows, b: _Rows, i: NDArray[np.integer], j: NDArray[np.integer]) -> Array:
    """Squared distances of pairs."""
    out = np.empty(len(i))
    for start in range(0, len(i), BLOCK):
        pairs = slice(start, start + BLOCK)
        step = a.exact[i[pairs]] - b.exact[j[pairs]]
        out[pairs] = np.einsum("nd,nd->n", step, step)
    return out


def squared_radii(z: _Rows, k: int) -> Array:
    """Squared distance of each row to its k-th nearest other row."""
    out = np.empty(len(z.exact))
    for rows, low, high in _screened(z, z):
        own = torch.arange(rows.stop - rows.start), torch.arange(rows.start, rows.stop)
        low[own] = high[own] = torch.inf
        limit = high.topk(k, largest=False).values[:, -1:]
        i, j = ((low <= limit) & (low < torch.inf)).nonzero(as_tuple=True)
        found = _exact(z, z, i.numpy() + rows.start, j.numpy())
        order = np.lexsort((found, i.numpy()))  # by row, then by distance; every row has k or more
        first = np.searchsorted(i.numpy(), np.arange(rows.stop - rows.start))
        out[rows] = found[order][first + k - 1]
    return out
