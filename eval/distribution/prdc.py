"""Precision, recall, density and coverage of a generated set against a reference.

Each reference row spans a ball whose radius is the distance to its k-th nearest other reference row.
Precision and recall: Kynkaanniemi et al. 2019; density and coverage: Naeem et al. 2020.

All distances are first bounded in a fast format with a known error: float32 within a set, the CPU's fastest
format between sets. Pairs that the bounds cannot decide are computed in float64, so results are those of
float64. Distances within a set are computed once for both rows.
Memory: a few numbers for each row, blocks of 2,048 rows and of 2,048 x 2,048 distances.

Legend: X [n, d] generated, Y [m, d] reference; D [rows, columns] squared distances.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eval.core.intervals import Array
from eval.distribution.feature_arrays import blocks, check_pair, mean_row
from eval.distribution.matmul import SMALL, center_rows, fast_dtype, product_error, row_products

EXTRA_CANDIDATES = 4  # neighbors beyond k; rows for which these are too few are bounded again over all rows
EXACT_PAIRS = 512  # pairs computed in float64 at a time
MAX_UNDECIDED = 0.01  # fraction of a block's pairs; above, float32 bounds cost less than so many exact pairs
Indices = NDArray[np.integer]


@dataclass(frozen=True)
class PRDC:
    """Per-row values whose means are the metrics: precision and density over X, recall and coverage over Y.

    precision_n: the row lies in some ball of Y. density_n: the number of these balls, divided by k.
    recall_m: the row lies in some ball of X. coverage_m: the row's own ball contains some row of X.
    """

    precision_n: Array
    density_n: Array
    recall_m: Array
    coverage_m: Array


def compute_prdc(x_nd: NDArray[np.floating], y_md: NDArray[np.floating], *, k: int = 5) -> PRDC:
    """Compare X with the reference Y in O(n m) time and O(n + m) memory.

    Raises:
        ValueError: a set has k rows or fewer.
    """
    check_pair(x_nd, y_md, minimum=k + 1)
    center = mean_row(y_md)  # distances are differences of norms: smaller norms, smaller rounding errors
    largest = max(float(np.abs(z[rows] - center).max()) for z in (x_nd, y_md) for rows in blocks(len(z)))
    scale = 2.0 ** -np.ceil(np.log2(largest)) if largest else 1.0  # a power of two is exact; avoids overflow
    x, y = (_ScaledSet.from_rows(z, center, scale) for z in (x_nd, y_md))
    radii_n, radii_m = squared_radii(x, k), squared_radii(y, k)
    dtype = torch.float32 if len(x_nd) * len(y_md) * y_md.shape[1] < SMALL else fast_dtype()
    hits = np.zeros(len(x_nd))
    recall, coverage = np.zeros(len(y_md), bool), np.zeros(len(y_md), bool)
    for rows in blocks(len(x_nd)):
        left = x.block(rows, dtype)
        for columns in blocks(len(y_md)):
            # one product serves all four metrics, with the radii of Y and then with those of X
            bounds = _DistanceBounds(left, y.block(columns, dtype))
            i, j = bounds.pairs_within(radii_m[columns])
            hits[rows] += np.bincount(i, minlength=len(left.rows))
            coverage[columns][j] = True
            i, j = bounds.pairs_within(radii_n[rows, None])
            recall[columns][j] = True
    return PRDC((hits > 0).astype(np.float64), hits / k, recall.astype(float), coverage.astype(float))


@dataclass(frozen=True)
class _ScaledSet:
    """A set about the center, scaled; `squares` [n] are the squared norms of the scaled rows."""

    rows: NDArray[np.floating]
    center: Array
    scale: float
    squares: Array

    @classmethod
    def from_rows(cls, rows: NDArray[np.floating], center: Array, scale: float) -> Self:
        squares = np.empty(len(rows))
        for span in blocks(len(rows)):
            z = (rows[span] - center) * scale
            squares[span] = np.einsum("nd,nd->n", z, z)
        return cls(rows, center, scale, squares)

    def block(self, indices: slice | Indices, dtype: torch.dtype = torch.float32) -> "_Block":
        """Return some rows in the format they are multiplied in."""
        rows = center_rows(self.rows[indices], self.center, torch.float32).mul_(self.scale).to(dtype)
        return _Block(self, np.r_[indices], rows, torch.from_numpy(self.squares[indices]).float())

    def exact(self, i: Indices, other: "_ScaledSet", j: Indices) -> Array:
        """Return the squared distances of pairs in float64."""
        out = np.empty(len(i))
        for pairs in blocks(len(i), EXACT_PAIRS):
            # the difference itself, not norms and a product: no cancellation between near rows
            step = np.asarray(self.rows[i[pairs]], np.float64) - other.rows[j[pairs]]
            step *= self.scale
            out[pairs] = np.einsum("nd,nd->n", step, step)
        return out


@dataclass(frozen=True)
class _Block:
    """Rows of a set with their indices in it and their squared norms."""

    source: _ScaledSet
    indices: Indices
    rows: Tensor
    squares: Tensor


class _DistanceBounds:
    """Bounds of the squared distances between the rows of two blocks; `lower` [rows, columns].

    |a - b|^2 = |a|^2 + |b|^2 - 2 a.b, with the product off by at most e |a| |b| <= e (|a|^2 + |b|^2) / 2.
    """

    def __init__(self, a: _Block, b: _Block) -> None:
        self.a, self.b = a, b
        self.error = product_error(a.rows.dtype, a.rows.shape[1])
        factor = 1 - self.error
        self.lower = row_products(a.rows, b.rows)
        # in place: a block of distances takes 16 MiB
        torch.add(b.squares * factor, self.lower, alpha=-2, out=self.lower)
        self.lower.add_((a.squares * factor)[:, None])

    @cached_property
    def in_float32(self) -> "_DistanceBounds":
        """Tighter bounds of the same pairs; cached because both limits may need them."""
        return _DistanceBounds(*(each.source.block(each.indices) for each in (self.a, self.b)))

    def upper(self, i: Tensor, j: Tensor) -> Tensor:
        """Return upper bounds for some pairs."""
        return self.lower[i, j] + 2 * self.error * (self.a.squares[i] + self.b.squares[j])

    def pairs_within(self, limit: Array) -> tuple[Indices, Indices]:
        """Return rows and columns of pairs within a squared distance of `limit` [rows, 1] or [columns]."""
        limit_32 = torch.from_numpy(limit).float()  # this rounding is covered by the margin of product_error
        i, j = (self.lower <= limit_32).nonzero(as_tuple=True)
        inside = self.upper(i, j) <= limit_32.expand(self.lower.shape)[i, j]
        undecided = ~inside
        if undecided.sum() > MAX_UNDECIDED * self.lower.numel() and self.a.rows.dtype != torch.float32:
            return self.in_float32.pairs_within(limit)
        rows, columns = i.numpy(), j.numpy()
        left, right = rows[undecided], columns[undecided]
        exact = self.a.source.exact(self.a.indices[left], self.b.source, self.b.indices[right])
        limits = np.broadcast_to(limit, self.lower.shape)[left, right]
        inside[undecided] = torch.from_numpy(exact <= limits)
        return rows[inside], columns[inside]


def squared_radii(z: _ScaledSet, k: int) -> Array:
    """Return the scaled squared distance of each row to its k-th nearest other row."""
    num = len(z.rows)
    num_candidates = min(k + EXTRA_CANDIDATES, num - 1)
    near, neighbors = _nearest(z, num_candidates)
    out, doubtful = np.empty(num), []
    # width of the bounds: 2 e (|a|^2 + |b|^2) <= 4 e max |z|^2
    slack = 4 * product_error(torch.float32, z.rows.shape[1]) * float(z.squares.max())
    for span in blocks(num):
        # only candidates that the bounds cannot tell from the k-th are computed; others are below or above it
        gap = near[span] - near[span, k - 1 : k]
        distances = np.where(gap < 0, -np.inf, np.inf)
        i, j = np.nonzero(np.abs(gap) <= slack)
        distances[i, j] = z.exact(i + span.start, z, neighbors[span][i, j])
        out[span] = np.sort(distances, 1)[:, k - 1]
        # a row that is not a candidate may be nearer unless even the last candidate's lower bound is beyond
        doubt = (near[span, -1] < out[span]) & (out[span] > 0) & (num_candidates < num - 1)
        doubtful.append(np.flatnonzero(doubt) + span.start)
    for rows in _split(np.concatenate(doubtful)):
        out[rows] = _radii_over_all_rows(z, rows, k, out[rows])
    return out


def _split(indices: Indices) -> Iterator[Indices]:
    return (indices[part] for part in blocks(len(indices)))


def _nearest(z: _ScaledSet, num_candidates: int) -> tuple[NDArray[np.float32], Indices]:
    """Return the smallest lower bounds [n, num_candidates] to other rows, and these rows' indices."""
    num = len(z.rows)
    near = torch.full((num, num_candidates), torch.inf)
    neighbors = torch.zeros((num, num_candidates), dtype=torch.int64)

    def update(rows: slice, columns: slice, lower: Tensor) -> None:
        values, indices = lower.topk(min(num_candidates, lower.shape[1]), largest=False, sorted=False)
        values = torch.cat([near[rows], values], 1)
        indices = torch.cat([neighbors[rows], indices + columns.start], 1)
        near[rows], order = values.topk(num_candidates, largest=False)
        neighbors[rows] = indices.gather(1, order)

    for rows in blocks(num):
        left = z.block(rows)
        for columns in blocks(num):
            if columns.start < rows.start:
                continue  # done as the transpose of an earlier block
            # NumPy halves the products of equal operands
            lower = _DistanceBounds(left, left if columns == rows else z.block(columns)).lower
            if columns == rows:
                lower.fill_diagonal_(torch.inf)  # a row is not its own neighbor
            update(rows, columns, lower)
            if columns != rows:
                update(columns, rows, lower.T.contiguous())
    return near.numpy(), neighbors.numpy()


def _radii_over_all_rows(z: _ScaledSet, rows: Indices, k: int, limit: Array) -> Array:
    """Return squared distances to the k-th nearest other row, given upper bounds `limit` [rows]."""
    left, owners, distances = z.block(rows), [], []
    for columns in blocks(len(z.rows)):
        bounds = _DistanceBounds(left, z.block(columns))
        near = bounds.lower <= torch.from_numpy(limit[:, None]).float()
        i, j = (each.numpy() for each in near.nonzero(as_tuple=True))
        other = rows[i] != j + columns.start
        i, j = i[other], j[other] + columns.start
        owners.append(i)
        distances.append(z.exact(rows[i], z, j))
    owner, distance = np.concatenate(owners), np.concatenate(distances)
    order = np.lexsort((distance, owner))  # by row, then by distance; each row has k or more entries
    first = np.searchsorted(owner[order], np.arange(len(rows)))
    return distance[order][first + k - 1]
