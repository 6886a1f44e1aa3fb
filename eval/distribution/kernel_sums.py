"""Sums of the cubic kernel k(a, b) = (a.b / d + 1)^3 over pairs of rows: the arithmetic of KID.

About a center c, with z = a - c, p = c.z / d, C = c.c / d + 1 and w = z_a.z_b / d, the kernel's base is
a.b / d + 1 = s + w, where s = p_a + p_b + C depends on each row alone, and w is small. Then

    k = s^3 + 3 s^2 w + 3 C w^2 + r,    r = 3 (p_a + p_b) w^2 + w^3:

- s^3 + 3 s^2 w is summed in float64 in O(n d), without pairs;
- the mean of w^2 is the inner product of two second-moment matrices [d, d], in O(n d^2), without pairs;
- r needs pairs. It is small and nearly a sum of one term per row, so a sample of pairs suffices: blocks of
  shuffled rows are paired in rounds in which every row meets equally many others. Terms per row then cancel,
  and the variance of what remains gives the standard error.

Legend: A [n, d], B [m, d] rows of the two sides of the pairs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eval.core.intervals import Array
from eval.distribution.feature_arrays import VideoRows, blocks
from eval.distribution.matmul import center_rows, row_products


@dataclass(frozen=True)
class CenteredSet:
    """A set of rows about the center, with the sums that need no pairs.

    `block_indices` are the indices of the shuffled rows, by block.
    """

    rows: NDArray[np.floating]
    center: Array
    dtype: torch.dtype
    block_indices: list[NDArray[np.integer]]
    offset: Array  # [n]: p
    constant: float  # C
    square: Array  # [n]: z.z / d
    powers: Array  # [3]: sums of 1, p, p^2
    cubes: float  # sum of p^3
    weighted: Array  # [3, d]: sums of z, p z, p^2 z, divided by d
    second: Array | None  # [d, d]: sum of z z^T, divided by d
    videos: VideoRows

    @classmethod
    def from_rows(
        cls,
        rows: NDArray[np.floating],
        center: Array,
        dtype: torch.dtype,
        order: NDArray[np.integer],
        num_blocks: int,
        second_moments: bool,
        videos: VideoRows,
    ) -> Self:
        """Shuffle rows into blocks by `order` and compute the sums, in one pass over the rows."""
        dim, num = len(center), len(rows)
        offset, square, weighted = np.empty(num), np.empty(num), np.zeros((3, dim))
        second = np.zeros((dim, dim)) if second_moments else None
        for span in blocks(num):
            z = rows[span] - center
            offset[span] = p = z @ center / dim
            square[span] = np.einsum("nd,nd->n", z, z) / dim
            weighted += np.stack([np.ones_like(p), p, p * p]) @ z / dim
            if second is not None:
                # float32 is enough for w^2, small compared with s^3; the sum over blocks is float64
                z_dn = torch.from_numpy(z.astype(np.float32)).T
                second += row_products(z_dn, z_dn).numpy() / dim
        return cls(
            rows,
            center,
            dtype,
            [np.sort(part) for part in np.array_split(order, num_blocks)],  # sorted: rows may be a file
            offset,
            float(center @ center / dim + 1),
            square,
            np.array([num, offset.sum(), (offset**2).sum()]),
            float((offset**3).sum()),
            weighted,
            second,
            videos,
        )

    def block(self, indices: NDArray[np.integer]) -> Tensor:
        """Return centered rows in the format they are multiplied in."""
        return center_rows(self.rows[indices], self.center, self.dtype)

    def linear_sums(self, other: "CenteredSet") -> Array:
        """Return for each row the sum of s^3 + 3 s^2 w over the other's rows.

        Both are polynomials in the other row's p and z, so its power sums replace the loop over pairs.
        """
        p, (s0, s1, s2) = self.offset + self.constant, other.powers
        w = np.empty((3, len(p)))
        for span in blocks(len(p)):
            w[:, span] = other.weighted @ (self.rows[span] - self.center).T
        cubes = s0 * p**3 + 3 * p**2 * s1 + 3 * p * s2 + other.cubes
        return cubes + 3 * (p**2 * w[0] + 2 * p * w[1] + w[2])

    def sums_within_videos(self) -> tuple[Array, NDArray[np.intp]]:
        """Return for each row the kernel's sum over the other rows of its video, and their number."""
        sums, dim = np.zeros(len(self.rows)), len(self.center)
        for video in np.flatnonzero(self.videos.lengths > 1):
            span = slice(self.videos.starts[video], self.videos.starts[video + 1])
            rows = np.asarray(self.rows[span], np.float64)
            kernel = (rows @ rows.T / dim + 1) ** 3
            sums[span] = kernel.sum(1) - np.diag(kernel)
        return sums, self.videos.lengths[self.videos.codes] - 1


@dataclass
class PairSums:
    """Sums over the pairs of two sets, or of one set with itself (without pairs of a row with itself)."""

    a: CenteredSet
    b: CenteredSet
    round: int = 0
    num_sampled: float = 0  # pairs
    squares: float = 0  # sum of w^2
    remainder: float = 0  # sum of r
    variance: float = 0  # sum over pairs of (r minus its row and column effects)^2
    sums: list[tuple[Array, Array]] = field(default_factory=list)  # by side: of 3 C w^2 + r; pairs per row

    def __post_init__(self) -> None:
        self.same = self.a is self.b
        self.num_pairs = len(self.a.rows) * (len(self.b.rows) - self.same) / (1 + self.same)
        self.linear = [self.a.linear_sums(self.b), self.b.linear_sums(self.a)]
        if self.same:
            # linear_sums includes each row's pair with itself, where p_a + p_b = 2 p and w = z.z / d
            diagonal = 2 * self.a.offset + self.a.constant
            self.linear = [self.linear[0] - diagonal**3 - 3 * diagonal**2 * self.a.square]
            self.within, self.num_within = self.a.sums_within_videos()
        self.sums = [
            (np.zeros(len(z.rows)), np.zeros(len(z.rows))) for z in (self.a, self.b)[: 2 - self.same]
        ]

    @property
    def complete(self) -> bool:
        return self.num_sampled >= self.num_pairs

    @property
    def mean(self) -> float:
        """Mean kernel over all pairs but those of one video."""
        if self.a.second is None or self.b.second is None or self.complete:
            squares = self.squares / self.num_sampled
        else:  # exact over all pairs: sum of (z_a.z_b)^2 = <sum z_a z_a^T, sum z_b z_b^T>, minus the diagonal
            total = np.vdot(self.a.second, self.b.second) - self.same * (self.a.square**2).sum()
            squares = total / (self.num_pairs * (1 + self.same))
        linear = self.linear[0].sum() / (self.num_pairs * (1 + self.same))
        mean = linear + 3 * self.a.constant * squares + self.remainder / self.num_sampled
        if self.same and self.num_within.any():
            pairs_within = self.num_within.sum() / 2
            mean = (mean * self.num_pairs - self.within.sum() / 2) / (self.num_pairs - pairs_within)
        return float(mean)

    @property
    def error(self) -> float:
        """Standard error of the mean of r, with the correction for a finite number of pairs."""
        missing = 1 - self.num_sampled / self.num_pairs
        if missing <= 0:
            return 0.0
        error = (missing * self.variance) ** 0.5 / self.num_sampled
        # the pairs within videos, which are known, are subtracted from the estimated sum over all pairs
        return error / (1 - self.num_within.sum() / 2 / self.num_pairs) if self.same else error

    def row_means(self, side: int) -> Array:
        """Return the mean kernel of each row with its partners; second and third order over sampled pairs."""
        sums, counts = self.sums[side]
        partners = (len(self.b.rows) - self.same) if side == 0 else len(self.a.rows)
        means = self.linear[side] / partners + sums / counts
        if self.same and self.num_within.any():
            means = (means * partners - self.within) / (partners - self.num_within)
        return means

    def add_round(self) -> None:
        """Add the pairs of each block with the one `round` further on."""
        for i, j in self._block_pairs():
            rows, columns = self.a.block_indices[i], self.b.block_indices[j]
            diagonal = self.same and i == j
            left = self.a.block(rows)
            right = left if diagonal else self.b.block(columns)  # NumPy halves the products of equal operands
            w = row_products(left, right).div_(len(self.a.center))
            if diagonal:
                w.fill_diagonal_(0)  # a row is not paired with itself; w = 0 makes w^2 and r zero
            remainder = w + torch.from_numpy(3 * self.b.offset[columns]).to(w.dtype)
            remainder += torch.from_numpy(3 * self.a.offset[rows]).to(w.dtype)[:, None]
            square = w.square_()
            remainder *= square  # r = (w + 3 p_a + 3 p_b) w^2
            self._add(remainder, square, rows, columns, diagonal)
        self.round += 1

    def _block_pairs(self) -> Iterator[tuple[int, int]]:
        """Return a round of block indices, in which every block of each side occurs equally often."""
        num = len(self.a.block_indices)
        if not self.same:
            return ((i, (i + self.round) % num) for i in range(num))
        # the diagonal comes last: its blocks have half as many pairs, and sampling often stops before
        step = (self.round + 1) if self.round < num // 2 else 0
        # halfway around the circle each pair of blocks would occur twice
        return ((i, (i + step) % num) for i in range(num // 2 if step and 2 * step == num else num))

    def _add(
        self,
        remainder: Tensor,
        square: Tensor,
        rows: NDArray[np.integer],
        columns: NDArray[np.integer],
        diagonal: bool,
    ) -> None:
        height, width = remainder.shape
        remainder_i, remainder_j = (remainder.sum(axis, dtype=torch.float64).numpy() for axis in (1, 0))
        square_i, square_j = (square.sum(axis, dtype=torch.float64).numpy() for axis in (1, 0))
        weight = 0.5 if diagonal else 1  # a diagonal block contains each pair twice
        total, pairs = remainder_i.sum(), height * width - diagonal * height
        sum_of_squares = float(torch.linalg.vector_norm(remainder, dtype=torch.float64)) ** 2
        # two-way analysis of variance: row and column effects cancel over rounds and are no sampling error
        effects = (remainder_i**2).sum() / width + (remainder_j**2).sum() / height
        effects -= total**2 / (height * width)
        self.num_sampled += weight * pairs
        self.squares += weight * square_i.sum()
        self.remainder += weight * total
        self.variance += weight * max(0.0, sum_of_squares - effects)
        sides = [
            (rows, remainder_i, square_i, width - diagonal),
            (columns, remainder_j, square_j, height - diagonal),
        ]
        for side, (indices, r, w2, partners) in enumerate(sides[: 1 if diagonal else 2]):
            sums, counts = self.sums[0 if self.same else side]
            sums[indices] += 3 * self.a.constant * w2 + r
            counts[indices] += partners
