"""Frechet distance between two sets of features, its interval, and its value at infinite n.

FD = |mu_x - mu_y|^2 + tr(S_x + S_y - 2 (S_x S_y)^(1/2)), the squared 2-Wasserstein distance of two
normal distributions (Dowson and Landau 1982); over Inception features it is the FID (Heusel et al. 2017).
Covariances divide by n - 1. All in float64.

Legend: X [n, d] features of the generated set, Y [m, d] of the reference; F [d, r] a factor, F F^T = S.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from eval.core.intervals import Array
from eval.distribution.feature_arrays import VideoRows, blocks, check_features
from src.core.rng import numpy_generator

BLOCK = 4096  # rows added at a time, so that large sets need no copy in float64


@dataclass(frozen=True)
class Moments:
    """Number, mean [d] and scatter [d, d] (sum of outer products about the mean) of a set of features."""

    num: int
    mean: Array
    scatter: Array

    @classmethod
    def from_features(cls, features: NDArray[np.floating]) -> Self:
        """Return the moments of [n, d] features, in blocks of fixed size so that batching does not matter."""
        check_features(features, minimum=1)
        return cls._from_blocks(features[rows] for rows in blocks(len(features), BLOCK))

    @classmethod
    def from_rows(cls, features: NDArray[np.floating], indices: NDArray[np.integer]) -> Self:
        """Return the moments of the rows with these indices, also in blocks."""
        return cls._from_blocks(features[np.sort(indices[rows])] for rows in blocks(len(indices), BLOCK))

    @classmethod
    def _from_blocks(cls, parts: Iterable[NDArray[np.floating]]) -> Self:
        total = None
        for rows in parts:
            mean = rows.mean(0, dtype=np.float64)
            centered = rows - mean
            part = cls(len(rows), mean, centered.T @ centered)
            total = part if total is None else total.merged(part)
        assert total is not None
        return total

    @classmethod
    def from_statistics(cls, mean: Array, covariance: Array) -> Self:
        """Return moments with this mean [d] and covariance [d, d]; `num` is arbitrary: do not merge."""
        return cls(2, mean, covariance)

    def merged(self, other: "Moments") -> Self:
        """Return the moments of both sets together; no cancellation of sums of squares (Chan et al. 1979)."""
        num = self.num + other.num
        step = other.mean - self.mean
        mean = self.mean + step * (other.num / num)
        between = np.outer(step, step) * (self.num * other.num / num)
        return type(self)(num, mean, self.scatter + other.scatter + between)

    @property
    def covariance(self) -> Array:
        """[d, d], divided by n - 1."""
        if self.num < 2:
            raise ValueError(f"features: covariance needs two or more rows, got {self.num}")
        return self.scatter / (self.num - 1)


def frechet_distance(x: Moments, y: Moments) -> float:
    """Return the Frechet distance of two sets; 0 or more.

    Only square roots of symmetric matrices are taken, so no complex numbers occur, and singular covariances
    (fewer rows than dimensions) lose no accuracy.
    """
    if x.mean.shape != y.mean.shape:
        raise ValueError(f"feature dimension mismatch: {len(x.mean)} vs {len(y.mean)}")
    cov_x, cov_y = x.covariance, y.covariance
    shift = x.mean - y.mean
    overlap = trace_sqrt_product(cov_x, cov_y)
    return max(0.0, float(shift @ shift + np.trace(cov_x) + np.trace(cov_y) - 2 * overlap))


def trace_sqrt_product(cov_x: Array, cov_y: Array) -> float:
    """Return tr (S_x S_y)^(1/2): the sum of the singular values of F_x^T F_y.

    The eigenvalues of F_x^T S_y F_x are their squares and take less than half the time. They are off by about
    eps |S_x| |S_y|, which changes the roots of small ones; if that could add up to 1e-10 of the sum, the
    singular values themselves are computed.
    """
    basis = factor(cov_x)
    values = scipy.linalg.eigvalsh(congruence(basis, cov_y), check_finite=False)
    error = 8 * np.finfo(np.float64).eps * np.linalg.norm(cov_x) * np.linalg.norm(cov_y)
    roots = np.sqrt(np.maximum(values, error))
    if error > 0 and (error / roots).sum() / 2 <= 1e-10 * roots.sum():
        return float(roots.sum())
    return float(scipy.linalg.svdvals(basis.T @ factor(cov_y), check_finite=False).sum())


def congruence(basis: Array, cov: Array) -> Array:
    """Return basis^T cov basis, lower triangle only; a triangular basis takes half the operations."""
    if basis.shape[0] == basis.shape[1] and not np.triu(basis, 1).any():
        found, info = scipy.linalg.lapack.dsygst(cov, basis, itype=2, lower=1)
        assert info == 0, info
        return found
    return basis.T @ cov @ basis


def factor(cov: Array) -> Array:
    """Return F with F F^T = cov: Cholesky, or scaled eigenvectors of the nonzero eigenvalues if singular."""
    try:
        lower = scipy.linalg.cholesky(cov, lower=True, check_finite=False)
        diagonal = np.diag(lower)
        if diagonal.min() > 1e-6 * diagonal.max():
            return lower
    except scipy.linalg.LinAlgError:
        pass
    values, vectors = scipy.linalg.eigh(cov, check_finite=False)
    nonzero = values > values[-1] * len(values) * np.finfo(np.float64).eps
    if not nonzero.any():  # all rows are equal
        return np.zeros((len(cov), 1))
    return vectors[:, nonzero] * np.sqrt(values[nonzero])


def influences(features: NDArray[np.floating], x: Moments, y: Moments) -> Array:
    """Return the influence of each row of X on FD(x, y): the derivative towards that row, [n], of mean 0.

    dFD/dmu_x = 2 (mu_x - mu_y) and dFD/dS_x = 1 - T with T the optimal transport of N(0, S_x) to
    N(0, S_y). On the span of F_x, T = F_x^+T (F_x^T S_y F_x)^(1/2) F_x^+.
    """
    basis = factor(x.covariance)
    values, vectors = scipy.linalg.eigh(congruence(basis, y.covariance))
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    inverse = np.linalg.pinv(basis)
    change = np.eye(len(x.mean)) - inverse.T @ root @ inverse
    slope = 2 * (x.mean - y.mean)
    expected = np.tensordot(change, x.covariance)
    out = np.empty(len(features))
    for rows in blocks(len(features), BLOCK):
        centered = np.asarray(features[rows], np.float64) - x.mean
        square = np.einsum("nd,nd->n", centered @ change, centered)
        out[rows] = centered @ slope + square * x.num / (x.num - 1)
    return out - expected


@dataclass(frozen=True)
class Extrapolation:
    """FD at infinite n: `value`, `error` (standard error over orders), `sizes` of the subsets in videos."""

    value: float
    error: float
    sizes: tuple[int, ...]


def extrapolate_frechet(
    x_nd: NDArray[np.floating],
    y_md: NDArray[np.floating],
    *,
    videos_x: VideoRows | None = None,
    videos_y: VideoRows | None = None,
    seed: int = 0,
    num_points: int = 6,
    num_orders: int = 4,
) -> Extrapolation:
    """Return FD without its bias of order 1/n (Chong and Forsyth 2020), extrapolated in both sets at once.

    n counts videos. For each random order of the videos, growing subsets of both sets in equal proportion
    give FD against 1/n, and a fitted line is evaluated at 0. The bias is linear only for covariances of full
    rank, so no subset is smaller than d + 1, nor than a quarter of the set, below which noise dominates.

    Args:
        videos_x, videos_y: the videos of the rows; None means that each row is one.

    Raises:
        ValueError: either set has fewer than 2 (d + 1) videos.
    """
    videos_x = videos_x or VideoRows.of(None, len(x_nd))
    videos_y = videos_y or VideoRows.of(None, len(y_md))
    fewest, dim = min(videos_x.num, videos_y.num), x_nd.shape[1]
    if fewest < 2 * (dim + 1):
        what = "rows" if videos_x.single and videos_y.single else "videos"
        raise ValueError(
            f"FD at infinite n: expected at least {2 * (dim + 1)} {what} in {dim} dimensions, got {fewest}"
        )
    fractions = 1 / np.linspace(min(4.0, fewest / (dim + 1)), 1.0, num_points)
    sizes = [round(fraction * fewest) for fraction in fractions]
    full = frechet_distance(
        Moments.from_features(x_nd), Moments.from_features(y_md)
    )  # the same in every order
    values = []
    for order in range(num_orders):
        x, y = (
            _growing_subsets(
                z,
                videos,
                fractions[:-1],
                numpy_generator(seed, "frechet", order, side).permutation(videos.num),
            )
            for side, (z, videos) in enumerate(((x_nd, videos_x), (y_md, videos_y)))
        )
        distances = [frechet_distance(*each) for each in zip(x, y, strict=True)]
        # a distance over n rows varies by about 1 / n: inverse-variance weights
        line = np.polyfit(1 / np.array(sizes), [*distances, full], 1, w=np.sqrt(sizes))
        values.append(float(line[1]))
    return Extrapolation(
        float(np.mean(values)), float(np.std(values, ddof=1) / num_orders**0.5), tuple(sizes)
    )


def _growing_subsets(
    z: NDArray[np.floating], videos: VideoRows, fractions: Array, order: NDArray[np.integer]
) -> Iterator[Moments]:
    """Yield the moments of the first fraction of the videos in this order, for each fraction."""
    start = 0
    total: Moments | None = None
    for fraction in fractions:
        stop = round(fraction * videos.num)
        if stop > start:  # few videos: two fractions may be the same number of them
            new = Moments.from_rows(z, videos.rows_of(order[start:stop]))
            total, start = new if total is None else total.merged(new), stop
        assert total is not None
        yield total
