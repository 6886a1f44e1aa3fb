"""Bounds of squared distances in a fast format with a known error; float64 where they do not decide."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eval.core.intervals import Array
from eval.distribution.feature_arrays import blocks
from eval.distribution.matmul import center_rows, product_error, row_products

EXACT_PAIRS = 512  # pairs computed in float64 at a time
MAX_UNDECIDED = 0.01  # fraction of a block's pairs; above, float32 bounds cost less than so many exact pairs
Indices = NDArray[np.integer]


@dataclass(frozen=True)
class ScaledSet:
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

    def block(self, indices: slice | Indices, dtype: torch.dtype = torch.float32) -> "RowBlock":
        """Return some rows in the format they are multiplied in."""
        rows = center_rows(self.rows[indices], self.center, torch.float32).mul_(self.scale).to(dtype)
        return RowBlock(self, np.r_[indices], rows, torch.from_numpy(self.squares[indices]).float())

    def exact(self, i: Indices, other: "ScaledSet", j: Indices) -> Array:
        """Return the squared distances of pairs in float64."""
        out = np.empty(len(i))
        for pairs in blocks(len(i), EXACT_PAIRS):
            # the difference itself, not norms and a product: no cancellation between near rows
            step = np.asarray(self.rows[i[pairs]], np.float64) - other.rows[j[pairs]]
            step *= self.scale
            out[pairs] = np.einsum("nd,nd->n", step, step)
        return out


@dataclass(frozen=True)
class RowBlock:
    """Rows of a set with their indices in it and their squared norms."""

    source: ScaledSet
    indices: Indices
    rows: Tensor
    squares: Tensor


class DistanceBounds:
    """Bounds of the squared distances between the rows of two blocks; `lower` [rows, columns].

    |a - b|^2 = |a|^2 + |b|^2 - 2 a.b, with the product off by at most e |a| |b| <= e (|a|^2 + |b|^2) / 2.
    """

    def __init__(self, a: RowBlock, b: RowBlock) -> None:
        self.a, self.b = a, b
        self.error = product_error(a.rows.dtype, a.rows.shape[1])
        factor = 1 - self.error
        self.lower = row_products(a.rows, b.rows)
        # in place: a block of distances takes 16 MiB
        torch.add(b.squares * factor, self.lower, alpha=-2, out=self.lower)
        self.lower.add_((a.squares * factor)[:, None])

    @cached_property
    def in_float32(self) -> "DistanceBounds":
        """Tighter bounds of the same pairs; cached because both limits may need them."""
        return DistanceBounds(*(each.source.block(each.indices) for each in (self.a, self.b)))

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
