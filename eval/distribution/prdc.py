"""Precision, recall, density and coverage of a generated set against a reference.

Each reference row spans a ball whose radius is the distance to its k-th nearest other reference video, that
is to the video's nearest row; rows of one video are alike in any set and no neighbors of each other.
Precision and recall: Kynkaanniemi et al. 2019; density and coverage: Naeem et al. 2020.

All distances are first bounded in a fast format with a known error: float32 within a set, the CPU's fastest
format between sets. Pairs that the bounds cannot decide are computed in float64, so results are those of
float64. Distances within a set are computed once for both rows.
Memory: a few numbers for each row, blocks of 2,048 rows and of 2,048 x 2,048 distances.

Legend: X [n, d] generated, Y [m, d] reference; D [rows, columns] squared distances.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eval.core.intervals import Array
from eval.distribution.distance_bounds import DistanceBounds, Indices, ScaledSet
from eval.distribution.feature_arrays import VideoRows, blocks, check_pair, mean_row
from eval.distribution.matmul import SMALL, fast_dtype, product_error

EXTRA_CANDIDATES = 4  # neighbors beyond k; rows for which these are too few are bounded again over all rows


@dataclass(frozen=True)
class PRDC:
    """Values whose means are the metrics: precision and density over X, recall and coverage over Y.

    precision_n: the row lies in some ball of Y. recall_m: the row lies in some ball of X. coverage_m: the
    row's own ball contains some row of X. density_n: of each video of X (row, if each is one), the number of
    balls of Y that contain a row of it, balls of one video of Y as a fraction of them, divided by k.
    """

    precision_n: Array
    density_n: Array
    recall_m: Array
    coverage_m: Array


def compute_prdc(
    x_nd: NDArray[np.floating],
    y_md: NDArray[np.floating],
    *,
    k: int = 5,
    videos_x: VideoRows | None = None,
    videos_y: VideoRows | None = None,
) -> PRDC:
    """Compare X with the reference Y in O(n m) time and O(n + m) memory.

    Args:
        videos_x, videos_y: the videos of the rows; None means that each row is one.

    Raises:
        ValueError: a set has k videos or fewer.
    """
    check_pair(x_nd, y_md, minimum=k + 1, videos=(videos_x, videos_y))
    videos_x = videos_x or VideoRows.of(None, len(x_nd))
    videos_y = videos_y or VideoRows.of(None, len(y_md))
    center = mean_row(y_md)  # distances are differences of norms: smaller norms, smaller rounding errors
    largest = max(float(np.abs(z[rows] - center).max()) for z in (x_nd, y_md) for rows in blocks(len(z)))
    scale = 2.0 ** -np.ceil(np.log2(largest)) if largest else 1.0  # a power of two is exact; avoids overflow
    x, y = (ScaledSet.from_rows(z, center, scale) for z in (x_nd, y_md))
    radii_n, radii_m = squared_radii(x, k, videos_x), squared_radii(y, k, videos_y)
    dtype = torch.float32 if len(x_nd) * len(y_md) * y_md.shape[1] < SMALL else fast_dtype()
    precision, density = np.zeros(len(x_nd), bool), np.zeros(videos_x.num)
    recall, coverage = np.zeros(len(y_md), bool), np.zeros(len(y_md), bool)
    fraction_m = 1 / videos_y.lengths[videos_y.codes]  # of a video's balls that one ball is
    for rows in videos_x.blocks():
        left = x.block(rows, dtype)
        for columns in blocks(len(y_md)):
            # one product serves all four metrics, with the radii of Y and then with those of X
            bounds = DistanceBounds(left, y.block(columns, dtype))
            i, j = bounds.pairs_within(radii_m[columns])
            precision[rows][i] = True
            coverage[columns][j] = True
            video, ball = videos_x.codes[rows][i], j + columns.start
            if not videos_x.single:  # a ball counts once for all rows of a video
                video, ball = np.unique(np.stack([video, ball]), axis=1)
            density += np.bincount(video, fraction_m[ball], minlength=len(density))
            i, j = bounds.pairs_within(radii_n[rows, None])
            recall[columns][j] = True
    return PRDC(precision.astype(float), density / k, recall.astype(float), coverage.astype(float))


def squared_radii(z: ScaledSet, k: int, videos: VideoRows) -> Array:
    """Return the scaled squared distance of each row to its k-th nearest other video."""
    num = len(z.rows)
    num_candidates = min(k + EXTRA_CANDIDATES, videos.num - 1)
    near, neighbors = _nearest(z, num_candidates, videos)
    out, doubtful = np.empty(num), []
    # width of the bounds: 2 e (|a|^2 + |b|^2) <= 4 e max |z|^2
    slack = 4 * product_error(torch.float32, z.rows.shape[1]) * float(z.squares.max())
    for span in blocks(num):
        # only candidates that the bounds cannot tell from the k-th are computed; others are below or above it
        gap = near[span] - near[span, k - 1 : k]
        distances = np.where(gap < 0, -np.inf, np.inf)
        i, j = np.nonzero(np.abs(gap) <= slack)
        distances[i, j] = _exact_to_videos(z, i + span.start, neighbors[span][i, j], videos)
        out[span] = np.sort(distances, 1)[:, k - 1]
        # a video that is not a candidate may be nearer unless the last candidate's lower bound is beyond
        doubt = (near[span, -1] < out[span]) & (out[span] > 0) & (num_candidates < videos.num - 1)
        doubtful.append(np.flatnonzero(doubt) + span.start)
    for rows in _split(np.concatenate(doubtful)):
        out[rows] = _radii_over_all_rows(z, rows, k, out[rows], videos)
    return out


def _exact_to_videos(z: ScaledSet, i: Indices, neighbors: Indices, videos: VideoRows) -> Array:
    """Return the squared distances of rows to the nearest row of a video each."""
    lengths = videos.lengths[neighbors]
    distances = z.exact(np.repeat(i, lengths), z, videos.rows_of(neighbors))
    return np.minimum.reduceat(distances, np.r_[0, lengths.cumsum()[:-1]])


def _split(indices: Indices) -> Iterator[Indices]:
    return (indices[part] for part in blocks(len(indices)))


def _nearest(z: ScaledSet, num_candidates: int, videos: VideoRows) -> tuple[NDArray[np.float32], Indices]:
    """Return the smallest lower bounds [n, num_candidates] to other videos, and these videos' numbers."""
    num = len(z.rows)
    near = torch.full((num, num_candidates), torch.inf)
    neighbors = torch.zeros((num, num_candidates), dtype=torch.int64)

    def update(rows: slice, columns: slice, lower: Tensor) -> None:
        first = int(videos.codes[columns.start])
        if not videos.single:
            starts = videos.starts[first : videos.codes[columns.stop - 1] + 1] - columns.start
            lower = torch.from_numpy(np.minimum.reduceat(lower.numpy(), starts, axis=1))
        values, indices = lower.topk(min(num_candidates, lower.shape[1]), largest=False, sorted=False)
        values = torch.cat([near[rows], values], 1)
        indices = torch.cat([neighbors[rows], indices + first], 1)
        near[rows], order = values.topk(num_candidates, largest=False)
        neighbors[rows] = indices.gather(1, order)

    for rows in videos.blocks():
        left = z.block(rows)
        for columns in videos.blocks():
            if columns.start < rows.start:
                continue  # done as the transpose of an earlier block
            # NumPy halves the products of equal operands
            lower = DistanceBounds(left, left if columns == rows else z.block(columns)).lower
            if columns == rows:  # a video is not its own neighbor
                codes = torch.from_numpy(videos.codes[rows])
                lower.masked_fill_(codes[:, None] == codes, torch.inf)
            update(rows, columns, lower)
            if columns != rows:
                update(columns, rows, lower.T.contiguous())
    return near.numpy(), neighbors.numpy()


def _radii_over_all_rows(z: ScaledSet, rows: Indices, k: int, limit: Array, videos: VideoRows) -> Array:
    """Return squared distances to the k-th nearest other video, given upper bounds `limit` [rows]."""
    left, owners, others, distances = z.block(rows), [], [], []
    for columns in blocks(len(z.rows)):
        bounds = DistanceBounds(left, z.block(columns))
        near = bounds.lower <= torch.from_numpy(limit[:, None]).float()
        i, j = (each.numpy() for each in near.nonzero(as_tuple=True))
        j = j + columns.start
        other = videos.codes[rows[i]] != videos.codes[j]
        i, j = i[other], j[other]
        owners.append(i)
        others.append(videos.codes[j])
        distances.append(z.exact(rows[i], z, j))
    owner, video, distance = (np.concatenate(each) for each in (owners, others, distances))
    order = np.lexsort((distance, video, owner))
    owner, video, distance = owner[order], video[order], distance[order]
    nearest = np.r_[True, (np.diff(owner) != 0) | (np.diff(video) != 0)]  # the first row of each video
    owner, distance = owner[nearest], distance[nearest]
    order = np.lexsort((distance, owner))  # by row, then by distance; each row has k or more entries
    first = np.searchsorted(owner[order], np.arange(len(rows)))
    return distance[order][first + k - 1]
