"""Precision, recall, density and coverage: is what is made plausible, is what is real covered?

Each real row spans a ball whose radius is the distance to its k-th nearest other real row.
Precision and recall: Kynkaanniemi et al. 2019; density and coverage: Naeem et al. 2020.

All distances are screened in float32, whose error is bounded; whatever that error leaves open is decided
in float64, so the result is float64's. Distances within a set are computed once for both of their rows.
Memory: some numbers for each row, and blocks of 2,048 rows and of 2,048 x 2,048 distances.

Legend: X [n, d] judged, Y [m, d] reference; D [rows, columns] squared distances.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eval.quality.features import Array, blocks, check_pair, mean_of
from eval.quality.products import float32_error, products

SPARE = 4  # candidates for neighbours beyond k; with too few, rows are screened again
PAIRS = 512  # that are decided in float64 at a time
Indices = NDArray[np.integer]


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
    check_pair(x_nd, y_md, minimum=k + 1)
    centre = mean_of(y_md)  # smaller numbers, smaller errors of differences
    largest = max(float(np.abs(z[rows] - centre).max()) for z in (x_nd, y_md) for rows in blocks(len(z)))
    scale = 2.0 ** -np.ceil(np.log2(largest)) if largest else 1.0  # exact; no square overflows
    x, y = (_Rows.of(z, centre, scale) for z in (x_nd, y_md))
    radii_n, radii_m = squared_radii(x, k), squared_radii(y, k)
    hits = np.zeros(len(x_nd))
    recall, coverage = np.zeros(len(y_md), bool), np.zeros(len(y_md), bool)
    for rows in blocks(len(x_nd)):
        left = x.left(rows)
        for columns in blocks(len(y_md)):
            found, slack = products(left, y.right(columns)), x.slack(rows) + y.slack(columns)
            places = rows, columns
            in_y = _at_most(found, slack, radii_m[None, columns], x, y, places)
            hits[rows] += np.count_nonzero(in_y.numpy(), 1)
            coverage[columns] |= in_y.any(0).numpy()
            recall[columns] |= _at_most(found, slack, radii_n[rows, None], x, y, places).any(0).numpy()
    return Manifold((hits > 0).astype(np.float64), hits / k, recall.astype(float), coverage.astype(float))


@dataclass(frozen=True)
class _Rows:
    """A set whose rows are multiplied about the centre; `squares` [n] are their squared norms there.

    left a and right b are longer by two numbers, so that their product is |a|^2 + |b|^2 - 2 a.b.
    """

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

    def left(self, place: slice | Indices) -> Tensor:
        return self._longer(place, -2, -2)

    def right(self, place: slice | Indices) -> Tensor:
        return self._longer(place, 1, -1)

    def _longer(self, place: slice | Indices, factor: float, square: int) -> Tensor:
        rows = self.rows[place]
        out = np.ones((len(rows), rows.shape[1] + 2), np.float32)
        np.subtract(rows, self.centre, out=out[:, :-2], casting="same_kind")
        out[:, :-2] *= np.float32(factor * self.scale)
        out[:, square] = self.squares[place]
        return torch.from_numpy(out)

    def slack(self, place: slice | Indices) -> float:
        """This side's share of the error of D: 2 |a| |b| is at most |a|^2 + |b|^2, which D holds as well."""
        return 2 * float32_error(self.rows.shape[1] + 2) * float(self.squares[place].max())

    def exact(self, i: Indices, other: "_Rows", j: Indices) -> Array:
        """Squared distances of pairs."""
        out = np.empty(len(i))
        for pairs in blocks(len(i), PAIRS):
            step = np.asarray(self.rows[i[pairs]], np.float64) - other.rows[j[pairs]]
            step *= self.scale
            out[pairs] = np.einsum("nd,nd->n", step, step)
        return out


def _at_most(
    found: Tensor, slack: float, limit: Array, a: _Rows, b: _Rows, places: tuple[slice, slice]
) -> Tensor:
    """bool [rows, columns]: whether each squared distance is at most its limit."""
    beyond = found - torch.from_numpy(limit).float()  # the spare roundings of the error allow for these
    inside = beyond <= 0
    i, j = (beyond.abs_() <= slack).nonzero(as_tuple=True)
    rows, columns = i.numpy(), j.numpy()
    limits = np.broadcast_to(limit, found.shape)[rows, columns]
    exact = a.exact(rows + places[0].start, b, columns + places[1].start)
    inside[i, j] = torch.from_numpy(exact <= limits)
    return inside


def squared_radii(z: _Rows, k: int) -> Array:
    """Squared distance of each row to its k-th nearest other row, in units of the scale."""
    num = len(z.rows)
    wanted = min(k + SPARE, num - 1)
    near, who = _nearest(z, wanted)
    out, doubtful = np.empty(num), []
    slack = 2 * z.slack(slice(None))
    for place in blocks(num):
        # only those that the error does not tell from the k-th can be the k-th
        off = near[place] - near[place, k - 1 : k]
        found = np.where(off < 0, -np.inf, np.inf)
        i, j = np.nonzero(np.abs(off) <= 2 * slack)
        found[i, j] = z.exact(i + place.start, z, who[place][i, j])
        out[place] = np.sort(found, 1)[:, k - 1]
        # another row might be nearer, were not all that are left out farther for certain
        open_ = (near[place, -1] - slack < out[place]) & (out[place] > 0) & (wanted < num - 1)
        doubtful.append(np.flatnonzero(open_) + place.start)
    for rows in _parts(np.concatenate(doubtful)):
        out[rows] = _screened_again(z, rows, k, out[rows])
    return out


def _parts(indices: Indices) -> Iterator[Indices]:
    return (indices[part] for part in blocks(len(indices)))


def _nearest(z: _Rows, wanted: int) -> tuple[NDArray[np.float32], Indices]:
    """Screened squared distances of the nearest other rows [n, wanted], and their indices."""
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
        left = z.left(rows)
        for columns in blocks(num):
            if columns.start < rows.start:
                continue
            found = products(left, z.right(columns))
            if columns == rows:
                found.fill_diagonal_(torch.inf)
            keep(rows, columns, found)
            if columns != rows:
                keep(columns, rows, found.T.contiguous())
    return near.numpy(), who.numpy()


def _screened_again(z: _Rows, rows: Indices, k: int, limit: Array) -> Array:
    """Squared distance to the k-th nearest other row, of which `limit` [rows] is a bound from above."""
    left, owners, distances = z.left(rows), [], []
    for columns in blocks(len(z.rows)):
        slack = z.slack(rows) + z.slack(columns)
        near = products(left, z.right(columns)) <= torch.from_numpy(limit[:, None]).float() + slack
        i, j = (each.numpy() for each in near.nonzero(as_tuple=True))
        other = rows[i] != j + columns.start
        i, j = i[other], j[other] + columns.start
        owners.append(i)
        distances.append(z.exact(rows[i], z, j))
    owner, distance = np.concatenate(owners), np.concatenate(distances)
    order = np.lexsort((distance, owner))  # by row, then by distance; every row has k or more
    first = np.searchsorted(owner[order], np.arange(len(rows)))
    return distance[order][first + k - 1]
