"""Frechet distance between two sets of features, its interval, and its value at infinite n.

FD = |mu_x - mu_y|^2 + tr(S_x + S_y - 2 (S_x S_y)^(1/2)), the squared 2-Wasserstein distance of two
normal distributions (Dowson and Landau 1982); over Inception features it is the FID (Heusel et al. 2017).
Covariances divide by n - 1. All in float64.

Legend: X [n, d] features of the judged set, Y [m, d] of the reference; F [d, r] a factor, F F^T = S.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from eval.core.draws import generator
from eval.distribution.feature_arrays import Array, blocks, check_features

BLOCK = 4096  # rows folded in at a time, so that large sets need no second copy in float64


@dataclass(frozen=True)
class Moments:
    """Number, mean [d] and scatter [d, d] (sum of outer products about the mean) of a set of features."""

    num: int
    mean: Array
    scatter: Array

    @classmethod
    def of(cls, features: NDArray[np.floating]) -> Self:
        """Moments of [n, d] features, in blocks of fixed size: the result does not depend on batches."""
        check_features(features, minimum=1)
        return cls._of(features[rows] for rows in blocks(len(features), BLOCK))

    @classmethod
    def of_some(cls, features: NDArray[np.floating], indices: NDArray[np.integer]) -> Self:
        """Moments of the rows with these indices, gathered in blocks too."""
        return cls._of(features[np.sort(indices[rows])] for rows in blocks(len(indices), BLOCK))

    @classmethod
    def _of(cls, parts: Iterable[NDArray[np.floating]]) -> Self:
        total = None
        for rows in parts:
            mean = rows.mean(0, dtype=np.float64)
            centred = rows - mean
            part = cls(len(rows), mean, centred.T @ centred)
            total = part if total is None else total.merged(part)
        assert total is not None
        return total

    @classmethod
    def given(cls, mean: Array, covariance: Array) -> Self:
        """Of a set of which no more is known than its mean [d] and covariance [d, d]; not to be merged."""
        return cls(2, mean, covariance)

    def merged(self, other: "Moments") -> Self:
        """Moments of both sets together (Chan et al. 1979), without the loss of sums of squares."""
        num = self.num + other.num
        step = other.mean - self.mean
        mean = self.mean + step * (other.num / num)
        between = np.outer(step, step) * (self.num * other.num / num)
        return type(self)(num, mean, self.scatter + other.scatter + between)

    @property
    def covariance(self) -> Array:
        """[d, d], divided by n - 1."""
        if self.num < 2:
            raise ValueError(f"features: a covariance needs two or more rows, got {self.num}")
        return self.scatter / (self.num - 1)


def frechet_distance(x: Moments, y: Moments) -> float:
    """Frechet distance of two sets; 0 or more.

    No square root of a matrix that is not symmetric is taken, so nothing can become complex, and singular
    covariances (fewer rows than dimensions) are as exact as others.
    """
    if x.mean.shape != y.mean.shape:
        raise ValueError(f"features: {len(x.mean)} and {len(y.mean)} dimensions cannot be compared")
    cov_x, cov_y = x.covariance, y.covariance
    shift = x.mean - y.mean
    overlap = trace_of_root(cov_x, cov_y)
    return max(0.0, float(shift @ shift + np.trace(cov_x) + np.trace(cov_y) - 2 * overlap))


def trace_of_root(cov_x: Array, cov_y: Array) -> float:
    """tr (S_x S_y)^(1/2): the sum of the singular values of F_x^T F_y.

    From the eigenvalues of their squares, F_x^T S_y F_x, in less than half the time where they are known to
    be exact enough. They are off by about eps |S_x| |S_y|, which small roots feel; where all of that together
    could reach 1e-10 of the sum, the singular values themselves are computed.
    """
    basis = factor(cov_x)
    values = scipy.linalg.eigvalsh(seen_from(basis, cov_y), check_finite=False)
    off = 8 * np.finfo(np.float64).eps * np.linalg.norm(cov_x) * np.linalg.norm(cov_y)
    roots = np.sqrt(np.maximum(values, off))
    if off > 0 and (off / roots).sum() / 2 <= 1e-10 * roots.sum():
        return float(roots.sum())
    return float(scipy.linalg.svdvals(basis.T @ factor(cov_y), check_finite=False).sum())


def seen_from(basis: Array, cov: Array) -> Array:
    """basis^T cov basis, of which the lower triangle is valid; a triangular basis takes half the work."""
    if basis.shape[0] == basis.shape[1] and not np.triu(basis, 1).any():
        found, info = scipy.linalg.lapack.dsygst(cov, basis, itype=2, lower=1)
        assert info == 0, info
        return found
    return basis.T @ cov @ basis


def factor(cov: Array) -> Array:
    """F with F F^T = cov: Cholesky, or the eigenvectors of what is not zero where cov is singular."""
    try:
        lower = scipy.linalg.cholesky(cov, lower=True, check_finite=False)
        diagonal = np.diag(lower)
        if diagonal.min() > 1e-6 * diagonal.max():
            return lower
    except scipy.linalg.LinAlgError:
        pass
    values, vectors = scipy.linalg.eigh(cov, check_finite=False)
    kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
    if not kept.any():  # all rows are equal
        return np.zeros((len(cov), 1))
    return vectors[:, kept] * np.sqrt(values[kept])


def influences(features: NDArray[np.floating], x: Moments, y: Moments) -> Array:
    """How far each row of X moves FD(x, y): the derivative of FD towards that row, [n], of mean 0.

    dFD/dmu_x = 2 (mu_x - mu_y) and dFD/dS_x = 1 - T with T the optimal transport of N(0, S_x) to
    N(0, S_y). On the span of F_x, T = F_x^+T (F_x^T S_y F_x)^(1/2) F_x^+.
    """
    basis = factor(x.covariance)
    values, vectors = scipy.linalg.eigh(seen_from(basis, y.covariance))
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    inverse = np.linalg.pinv(basis)
    change = np.eye(len(x.mean)) - inverse.T @ root @ inverse
    slope = 2 * (x.mean - y.mean)
    expected = np.tensordot(change, x.covariance)
    out = np.empty(len(features))
    for rows in blocks(len(features), BLOCK):
        centred = np.asarray(features[rows], np.float64) - x.mean
        square = np.einsum("nd,nd->n", centred @ change, centred)
        out[rows] = centred @ slope + square * x.num / (x.num - 1)
    return out - expected


@dataclass(frozen=True)
class Extrapolation:
    """FD at infinite n: `value`, `error` (standard error from the random orders), `sizes` of the subsets."""

    value: float
    error: float
    sizes: tuple[int, ...]


def extrapolated(
    x_nd: NDArray[np.floating],
    y_md: NDArray[np.floating],
    *,
    seed: int = 0,
    num_points: int = 6,
    num_orders: int = 4,
) -> Extrapolation:
    """FD without its bias of order 1/n (Chong and Forsyth 2020), extrapolated in both sets at once.

    Subsets grow along random orders, in equal proportion of both sets, and a straight line through FD
    against 1/n is read at 0, once for each order. The bias is such a line only while covariances have
    full rank, so no subset is smaller than d + 1, nor than a quarter, below which noise takes over.

    Raises:
        ValueError: for fewer than 2 (d + 1) rows in either set.
    """
    fewest, dim = min(len(x_nd), len(y_md)), x_nd.shape[1]
    if fewest < 2 * (dim + 1):
        raise ValueError(f"FD at infinite n: needs {2 * (dim + 1)} rows in {dim} dimensions, got {fewest}")
    shares = 1 / np.linspace(min(4.0, fewest / (dim + 1)), 1.0, num_points)
    sizes = [round(share * fewest) for share in shares]
    whole = frechet_distance(Moments.of(x_nd), Moments.of(y_md))  # the same in every order
    values = []
    for order in range(num_orders):
        x, y = (
            _growing(z, shares[:-1], generator(seed, "frechet", order, side).permutation(len(z)))
            for side, z in enumerate((x_nd, y_md))
        )
        distances = [frechet_distance(*each) for each in zip(x, y, strict=True)]
        # a distance from n rows varies by about 1 / n, which weighs the points
        line = np.polyfit(1 / np.array(sizes), [*distances, whole], 1, w=np.sqrt(sizes))
        values.append(float(line[1]))
    return Extrapolation(
        float(np.mean(values)), float(np.std(values, ddof=1) / num_orders**0.5), tuple(sizes)
    )


def _growing(z: NDArray[np.floating], shares: Array, order: NDArray[np.integer]) -> Iterator[Moments]:
    """Moments of the first `share` of the rows in this order, for each share."""
    done, total = 0, None
    for share in shares:
        stop = round(share * len(z))
        more = Moments.of_some(z, order[done:stop])
        total, done = more if total is None else total.merged(more), stop
        yield total
