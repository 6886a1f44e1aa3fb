"""Precision, recall, density and coverage: is what is made plausible, is what is real covered?

Each real row spans a ball whose radius is the distance to its k-th nearest other real row.
Precision and recall: Kynkaanniemi et al. 2019; density and coverage: Naeem et al. 2020.

All distances are screened in a format whose error is bounded: float32 within a set, the processor's fast one
between sets. Whatever that error leaves open is decided in float64, so the result is float64's. Distances
within a set are computed once for both of their rows.
Memory: some numbers for each row, and blocks of 2,048 rows and of 2,048 x 2,048 distances.

Legend: X [n, d] judged, Y [m, d] reference; D [rows, columns] squared distances.
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

SPARE = 4  # candidates for neighbours beyond k; with too few, rows are screened again
PAIRS = 512  # that are decided in float64 at a time
MOST_OPEN = 0.01  # share of a block's pairs that may be left open; with more, it is screened in float32
Indices = NDArray[np.integer]


@dataclass(frozen=True)
class PRDC:
    """Per-row values whose means are the metrics: precision and density over X, recall and coverage over Y.

    precision_n: the row lies in some real ball. density_n: in how many, divided by k. recall_m: the real
    row lies in some ball of X. coverage_m: some row of X lies in this real row's ball.
    """

    precision_n: Array
    density_n: Array
    recall_m: Array
    coverage_m: Array


def compute_prdc(x_nd: NDArray[np.floating], y_md: NDArray[np.floating], *, k: int = 5) -> PRDC:
    """Compare X with the reference Y in O(n m) time and O(n + m) memory.

    Raises:
        ValueError: where a set has not more than k rows.
    """
    check_pair(x_nd, y_md, minimum=k + 1)
    centre = mean_row(y_md)  # smaller numbers, smaller errors of differences
    largest = max(float(np.abs(z[rows] - centre).max()) for z in (x_nd, y_md) for rows in blocks(len(z)))
    scale = 2.0 ** -np.ceil(np.log2(largest)) if largest else 1.0  # exact; no square overflows
    x, y = (_Rows.of(z, centre, scale) for z in (x_nd, y_md))
    radii_n, radii_m = squared_radii(x, k), squared_radii(y, k)
    dtype = torch.float32 if len(x_nd) * len(y_md) * y_md.shape[1] < SMALL else fast_dtype()
    hits = np.zeros(len(x_nd))
    recall, coverage = np.zeros(len(y_md), bool), np.zeros(len(y_md), bool)
    for rows in blocks(len(x_nd)):
        left = x.block(rows, dtype)
        for columns in blocks(len(y_md)):
            pair = _Pair(left, y.block(columns, dtype))
            i, j = pair.at_most(radii_m[columns])
            hits[rows] += np.bincount(i, minlength=len(left.rows))
            coverage[columns][j] = True
            i, j = pair.at_most(radii_n[rows, None])
            recall[columns][j] = True
    return PRDC((hits > 0).astype(np.float64), hits / k, recall.astype(float), coverage.astype(float))


@dataclass(frozen=True)
class _Rows:
    """A set whose rows are multiplied about the centre; `squares` [n] are their squared norms there."""

    rows: NDArray[np.floating]
    centre: Array
    scale: float
    squares: Array

    @classmethod
    def of(cls, rows: NDArray[np.floating], centre: Array, scale: float) -> Self:
        squares = np.empty(len(rows))
        for place in blocks(len(rows)):
            z = (rows[place] - centre) * scale
            squares[place] = np.einsum("nd,nd->n", z, z)
        return cls(rows, centre, scale, squares)

    def block(self, place: slice | Indices, dtype: torch.dtype = torch.float32) -> "_Block":
        """Some rows in the format that they are multiplied in."""
        rows = center_rows(self.rows[place], self.centre, torch.float32).mul_(self.scale).to(dtype)
        return _Block(self, np.r_[place], rows, torch.from_numpy(self.squares[place]).float())

    def exact(self, i: Indices, other: "_Rows", j: Indices) -> Array:
        """Squared distances of pairs."""
        out = np.empty(len(i))
        for pairs in blocks(len(i), PAIRS):
            step = np.asarray(self.rows[i[pairs]], np.float64) - other.rows[j[pairs]]
            step *= self.scale
            out[pairs] = np.einsum("nd,nd->n", step, step)
        return out


@dataclass(frozen=True)
class _Block:
    """Rows of a set, which of it they are, and their squared norms."""

    whole: _Rows
    which: Indices
    rows: Tensor
    squares: Tensor


class _Pair:
    """Screened squared distances between the rows of two blocks: `least` [rows, columns] they can be."""

    def __init__(self, a: _Block, b: _Block) -> None:
        self.a, self.b = a, b
        self.error = product_error(a.rows.dtype, a.rows.shape[1])  # 2 |a| |b| is at most |a|^2 + |b|^2
        lower = 1 - self.error
        self.least = row_products(a.rows, b.rows)
        torch.add(b.squares * lower, self.least, alpha=-2, out=self.least).add_((a.squares * lower)[:, None])

    @cached_property
    def in_float32(self) -> "_Pair":
        """The same pairs screened once more; both limits may ask for it."""
        return _Pair(*(each.whole.block(each.which) for each in (self.a, self.b)))

    def most(self, i: Tensor, j: Tensor) -> Tensor:
        """The most that the squared distances of some pairs can be."""
        return self.least[i, j] + 2 * self.error * (self.a.squares[i] + self.b.squares[j])

    def at_most(self, limit: Array) -> tuple[Indices, Indices]:
        """Rows and columns of the pairs whose squared distance is at most a limit [rows, 1] or [columns]."""
        screen = torch.from_numpy(limit).float()  # the spare roundings of the error allow for it
        i, j = (self.least <= screen).nonzero(as_tuple=True)
        inside = self.most(i, j) <= screen.expand(self.least.shape)[i, j]
        open_ = ~inside
        if open_.sum() > MOST_OPEN * self.least.numel() and self.a.rows.dtype != torch.float32:
            return self.in_float32.at_most(limit)
        rows, columns = i.numpy(), j.numpy()
        left, right = rows[open_], columns[open_]
        exact = self.a.whole.exact(self.a.which[left], self.b.whole, self.b.which[right])
        inside[open_] = torch.from_numpy(exact <= np.broadcast_to(limit, self.least.shape)[left, right])
        return rows[inside], columns[inside]


def squared_radii(z: _Rows, k: int) -> Array:
    """Squared distance of each row to its k-th nearest other row, in units of the scale."""
    num = len(z.rows)
    wanted = min(k + SPARE, num - 1)
    near, who = _nearest(z, wanted)
    out, doubtful = np.empty(num), []
    slack = 4 * product_error(torch.float32, z.rows.shape[1]) * float(z.squares.max())  # above the least
    for place in blocks(num):
        # only those that the error does not tell from the k-th can be the k-th
        off = near[place] - near[place, k - 1 : k]
        found = np.where(off < 0, -np.inf, np.inf)
        i, j = np.nonzero(np.abs(off) <= slack)
        found[i, j] = z.exact(i + place.start, z, who[place][i, j])
        out[place] = np.sort(found, 1)[:, k - 1]
        # another row might be nearer, were not all that are left out farther for certain
        open_ = (near[place, -1] < out[place]) & (out[place] > 0) & (wanted < num - 1)
        doubtful.append(np.flatnonzero(open_) + place.start)
    for rows in _parts(np.concatenate(doubtful)):
        out[rows] = _screened_again(z, rows, k, out[rows])
    return out


def _parts(indices: Indices) -> Iterator[Indices]:
    return (indices[part] for part in blocks(len(indices)))


def _nearest(z: _Rows, wanted: int) -> tuple[NDArray[np.float32], Indices]:
    """The least squared distances of the nearest other rows can be [n, wanted], and their indices."""
    num = len(z.rows)
    near = torch.full((num, wanted), torch.inf)
    who = torch.zeros((num, wanted), dtype=torch.int64)

    def keep(rows: slice, columns: slice, found: Tensor) -> None:
        values, indices = found.topk(min(wanted, found.shape[1]), largest=False, sorted=False)
        values = torch.cat([near[rows], values], 1)
        indices = torch.cat([who[rows], indices + columns.start], 1)
        near[rows], order = values.topk(wanted, largest=False)
        who[rows] = indices.gather(1, order)

    for rows in blocks(num):
        left = z.block(rows)
        for columns in blocks(num):
            if columns.start < rows.start:
                continue
            # of one matrix with itself NumPy makes half the products
            found = _Pair(left, left if columns == rows else z.block(columns)).least
            if columns == rows:
                found.fill_diagonal_(torch.inf)
            keep(rows, columns, found)
            if columns != rows:
                keep(columns, rows, found.T.contiguous())
    return near.numpy(), who.numpy()


def _screened_again(z: _Rows, rows: Indices, k: int, limit: Array) -> Array:
    """Squared distance to the k-th nearest other row, of which `limit` [rows] is a bound from above."""
    left, owners, distances = z.block(rows), [], []
    for columns in blocks(len(z.rows)):
        pair = _Pair(left, z.block(columns))
        near = pair.least <= torch.from_numpy(limit[:, None]).float()
        i, j = (each.numpy() for each in near.nonzero(as_tuple=True))
        other = rows[i] != j + columns.start
        i, j = i[other], j[other] + columns.start
        owners.append(i)
        distances.append(z.exact(rows[i], z, j))
    owner, distance = np.concatenate(owners), np.concatenate(distances)
    order = np.lexsort((distance, owner))  # by row, then by distance; every row has k or more
    first = np.searchsorted(owner[order], np.arange(len(rows)))
    return distance[order][first + k - 1]
