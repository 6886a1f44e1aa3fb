"""Kernel distance (KID): unbiased squared maximum mean discrepancy under k(a, b) = (a.b / d + 1)^3.

Binkowski et al. 2018. Unbiased at every n, so it may be negative; the better choice below 2,000 samples.

Rows are taken about a centre, so that a.b / d + 1 = s + w, with s = p_a + p_b + c of the rows alone and w the
small product of the centred rows, and k = s^3 + 3 s^2 w + 3 c w^2 + r, r = 3 (p_a + p_b) w^2 + w^3:

- s^3 + 3 s^2 w is summed in float64 in O(n d);
- the mean of w^2 is the scalar product of two matrices [d, d] of second moments, in O(n d^2);
- r alone needs pairs, and is so small and so nearly a sum over rows that some pairs tell its mean: blocks of
  shuffled rows are paired in turns in which every row meets equally many others, so that what belongs to rows
  cancels, until the standard error of what is left is below `TOLERANCE`, or all pairs are done.

Sets of less than `MANY` multiplications are done over all pairs, small ones in float64; the products of
others are made in a fast format (`products.fast_type`). Memory: a few numbers for each row, two matrices
[d, d] and blocks of at most 2,048 rows.

Legend: X [n, d] judged, Y [m, d] reference.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eval.core.draws import generator
from eval.core.intervals import Array
from eval.distribution.feature_arrays import BLOCK, blocks, check_pair, mean_row
from eval.distribution.matmul import SMALL, center_rows, fast_dtype, row_products

TOLERANCE = 1e-6  # standard error of the pairs left out, as a share of the distance ...
FLOOR = 2.0**-24  # ... or of the mean kernel, which float32 does not resolve any better
MANY = 2**33  # multiplications from which on some pairs are enough
NUM_TURNS = 16  # at least, so that few of them can be enough


@dataclass(frozen=True)
class KernelDistance:
    """`value`, `error` (standard error of the pairs left out, 0 for all) and influences of X [n], Y [m]."""

    value: float
    error: float
    influence_x: Array
    influence_y: Array


def kernel_distance(
    x_nd: NDArray[np.floating], y_md: NDArray[np.floating], *, seed: int = 0
) -> KernelDistance:
    """The U-statistic over all pairs: what a mean over random subsets, as papers report it, estimates.

    Args:
        seed: of the order in which pairs of large sets are taken.
    """
    check_pair(x_nd, y_md, minimum=2)
    dim, fewest = x_nd.shape[1], min(len(x_nd), len(y_md))
    small = len(x_nd) * len(y_md) * dim < SMALL
    some = len(x_nd) * len(y_md) * dim >= MANY and fewest > 2 * dim  # else second moments cost more
    num_blocks = max(-(-max(len(x_nd), len(y_md)) // BLOCK), NUM_TURNS if some else 1)
    centre = mean_row(x_nd, y_md)
    dtype = torch.float64 if small else fast_dtype()
    x, y = (
        _Set.of(z, centre, dtype, generator(seed, "kid", side).permutation(len(z)), num_blocks, some)
        for side, z in enumerate((x_nd, y_md))
    )
    kinds = [_Pairs(x, x), _Pairs(y, y), _Pairs(x, y)]
    while left := [kind for kind in kinds if not kind.complete]:
        for kind in left:
            kind.take_turn()
        value, error = _distance(kinds)
        if some and error <= max(TOLERANCE * abs(value), FLOOR * kinds[2].mean):
            break
    value, error = _distance(kinds)
    xx, yy, xy = kinds
    influence_x = 2 * (xx.means_of_rows(0) - xy.means_of_rows(0))
    influence_y = 2 * (yy.means_of_rows(0) - xy.means_of_rows(1))
    return KernelDistance(value, error, influence_x, influence_y)


def _distance(kinds: list["_Pairs"]) -> tuple[float, float]:
    weights = (1, 1, -2)
    value = sum(weight * kind.mean for weight, kind in zip(weights, kinds, strict=True))
    error = sum((weight * kind.error) ** 2 for weight, kind in zip(weights, kinds, strict=True)) ** 0.5
    return float(value), float(error)


@dataclass(frozen=True)
class _Set:
    """A set about the centre. `parts` are the shuffled rows' indices by block."""

    rows: NDArray[np.floating]
    centre: Array
    dtype: torch.dtype
    parts: list[NDArray[np.integer]]
    offset: Array  # p [n]: c.z / d of the centred rows z
    constant: float  # c.c / d + 1
    square: Array  # [n]: z.z / d
    powers: Array  # [3]: sums of 1, p, p^2
    cubes: float  # sum of p^3
    weighted: Array  # [3, d]: sums of z, p z, p^2 z, divided by d
    second: Array | None  # [d, d]: sum of z z^T, divided by d

    @classmethod
    def of(
        cls,
        rows: NDArray[np.floating],
        centre: Array,
        dtype: torch.dtype,
        order: NDArray[np.integer],
        num_blocks: int,
        second_moments: bool,
    ) -> Self:
        dim, num = len(centre), len(rows)
        offset, square, weighted = np.empty(num), np.empty(num), np.zeros((3, dim))
        second = np.zeros((dim, dim)) if second_moments else None
        for place in blocks(num):
            z = rows[place] - centre
            offset[place] = p = z @ centre / dim
            square[place] = np.einsum("nd,nd->n", z, z) / dim
            weighted += np.stack([np.ones_like(p), p, p * p]) @ z / dim
            if second is not None:
                fast = torch.from_numpy(z.astype(np.float32)).T
                second += row_products(fast, fast).numpy() / dim
        return cls(
            rows,
            centre,
            dtype,
            [np.sort(part) for part in np.array_split(order, num_blocks)],
            offset,
            float(centre @ centre / dim + 1),
            square,
            np.array([num, offset.sum(), (offset**2).sum()]),
            float((offset**3).sum()),
            weighted,
            second,
        )

    def block(self, part: NDArray[np.integer]) -> Tensor:
        return center_rows(self.rows[part], self.centre, self.dtype)

    def linear_sums(self, other: "_Set") -> Array:
        """Sum over the other's rows of s^3 + 3 s^2 w, for each row."""
        p, (s0, s1, s2) = self.offset + self.constant, other.powers
        w = np.empty((3, len(p)))
        for place in blocks(len(p)):
            w[:, place] = other.weighted @ (self.rows[place] - self.centre).T
        cubes = s0 * p**3 + 3 * p**2 * s1 + 3 * p * s2 + other.cubes
        return cubes + 3 * (p**2 * w[0] + 2 * p * w[1] + w[2])


@dataclass
class _Pairs:
    """The pairs of two sets, or of one with itself (a row never with itself), as far as they were taken."""

    a: _Set
    b: _Set
    turn: int = 0
    taken: float = 0  # pairs
    squares: float = 0  # sum of w^2
    rest: float = 0  # sum of r
    variance: float = 0  # sum over pairs of the squares of what of r belongs to no row
    sums: list[tuple[Array, Array]] = field(default_factory=list)  # by side: of 3 c w^2 + r; how many

    def __post_init__(self) -> None:
        self.same = self.a is self.b
        self.asked = len(self.a.rows) * (len(self.b.rows) - self.same) / (1 + self.same)
        self.linear = [self.a.linear_sums(self.b), self.b.linear_sums(self.a)]
        if self.same:
            alone = 2 * self.a.offset + self.a.constant
            self.linear = [self.linear[0] - alone**3 - 3 * alone**2 * self.a.square]
        self.sums = [
            (np.zeros(len(z.rows)), np.zeros(len(z.rows))) for z in (self.a, self.b)[: 2 - self.same]
        ]

    @property
    def complete(self) -> bool:
        return self.taken >= self.asked

    @property
    def mean(self) -> float:
        """Mean kernel over all pairs."""
        if self.a.second is None or self.b.second is None or self.complete:
            squares = self.squares / self.taken
        else:  # over all pairs, whatever was taken
            total = np.vdot(self.a.second, self.b.second) - self.same * (self.a.square**2).sum()
            squares = total / (self.asked * (1 + self.same))
        linear = self.linear[0].sum() / (self.asked * (1 + self.same))
        return float(linear + 3 * self.a.constant * squares + self.rest / self.taken)

    @property
    def error(self) -> float:
        """Standard error of the mean of r over all pairs."""
        left = 1 - self.taken / self.asked
        return (left * self.variance) ** 0.5 / self.taken if left > 0 else 0.0

    def means_of_rows(self, side: int) -> Array:
        """Mean kernel of each row with its partners, by the pairs that were taken."""
        sums, counts = self.sums[side]
        partners = (len(self.b.rows) - self.same) if side == 0 else len(self.a.rows)
        return self.linear[side] / partners + sums / counts

    def take_turn(self) -> None:
        """Each block with the one that is `turn` further; of one set, a block with itself comes last."""
        for i, j in self._places():
            rows, columns = self.a.parts[i], self.b.parts[j]
            alone = self.same and i == j
            left = self.a.block(rows)
            right = left if alone else self.b.block(columns)  # of one matrix NumPy makes half the products
            w = row_products(left, right).div_(len(self.a.centre))
            if alone:
                w.fill_diagonal_(0)
            rest = w + torch.from_numpy(3 * self.b.offset[columns]).to(w.dtype)
            rest += torch.from_numpy(3 * self.a.offset[rows]).to(w.dtype)[:, None]
            square = w.square_()
            rest *= square
            self._add(rest, square, rows, columns, alone)
        self.turn += 1

    def _places(self) -> Iterator[tuple[int, int]]:
        num = len(self.a.parts)
        if not self.same:
            return ((i, (i + self.turn) % num) for i in range(num))
        step = (self.turn + 1) if self.turn < num // 2 else 0
        # halfway round, each two blocks would meet twice
        return ((i, (i + step) % num) for i in range(num // 2 if step and 2 * step == num else num))

    def _add(
        self,
        rest: Tensor,
        square: Tensor,
        rows: NDArray[np.integer],
        columns: NDArray[np.integer],
        alone: bool,
    ) -> None:
        height, width = rest.shape
        rest_i, rest_j = (rest.sum(axis, dtype=torch.float64).numpy() for axis in (1, 0))
        square_i, square_j = (square.sum(axis, dtype=torch.float64).numpy() for axis in (1, 0))
        share = 0.5 if alone else 1  # each two rows are there twice
        total, pairs = rest_i.sum(), height * width - alone * height
        spread = float(torch.linalg.vector_norm(rest, dtype=torch.float64)) ** 2
        own = (rest_i**2).sum() / width + (rest_j**2).sum() / height - total**2 / (height * width)
        self.taken += share * pairs
        self.squares += share * square_i.sum()
        self.rest += share * total
        self.variance += share * max(0.0, spread - own)
        both = [(rows, rest_i, square_i, width - alone), (columns, rest_j, square_j, height - alone)]
        for side, (place, r, w2, partners) in enumerate(both[: 1 if alone else 2]):
            sums, counts = self.sums[0 if self.same else side]
            sums[place] += 3 * self.a.constant * w2 + r
            counts[place] += partners
