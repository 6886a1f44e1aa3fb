"""Checks and block-wise access to feature arrays, the videos of their rows, intervals from influences.

Rows are read in blocks, so arrays may be files (`numpy.memmap`): no metric holds all rows in memory.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from eval.core.clusters import group_codes
from eval.core.intervals import MIN_UNITS, Array, Interval, is_skewed, t_quantile

BLOCK = 2048  # rows in memory at a time


@dataclass(frozen=True)
class VideoRows:
    """The video (or sound) of each row of a set: rows of one video are no independent samples.

    `codes` [n]: number of each row's video; the rows of a video follow each other.
    """

    codes: NDArray[np.intp]

    @classmethod
    def of(cls, videos: Sequence[Hashable] | None, num: int) -> "VideoRows":
        """Return the videos of `num` rows by their labels; None means that each row is a video.

        Raises:
            ValueError: the rows of a video do not follow each other.
        """
        codes = group_codes(videos, num)
        if (np.diff(codes) < 0).any():
            raise ValueError("videos: the rows of a video must follow each other")
        return cls(codes)

    @cached_property
    def starts(self) -> NDArray[np.intp]:
        """First row of each video, and the number of rows [videos + 1]."""
        return np.r_[np.flatnonzero(np.diff(self.codes, prepend=-1)), len(self.codes)]

    @cached_property
    def lengths(self) -> NDArray[np.intp]:
        """Number of rows of each video."""
        return np.diff(self.starts)

    @property
    def num(self) -> int:
        """Number of videos."""
        return len(self.lengths)

    @property
    def single(self) -> bool:
        """True if each row is a video."""
        return self.num == len(self.codes)

    def rows_of(self, videos: NDArray[np.integer]) -> NDArray[np.intp]:
        """Return the indices of the rows of some videos, video by video."""
        lengths = self.lengths[videos]
        first = np.repeat(self.starts[videos] - np.r_[0, lengths.cumsum()[:-1]], lengths)
        return first + np.arange(lengths.sum())

    def blocks(self, size: int = BLOCK) -> Iterator[slice]:
        """Yield slices of rows that end with a video, of at most `size` unless a video has more."""
        start = 0
        while start < len(self.codes):
            within = np.searchsorted(self.starts, start + size, side="right") - 1
            stop = int(max(self.starts[within], self.starts[self.codes[start] + 1]))
            yield slice(start, stop)
            start = stop


def blocks(num: int, size: int = BLOCK) -> Iterator[slice]:
    """Yield slices of at most `size` that cover `num` rows in order."""
    for start in range(0, num, size):
        yield slice(start, min(start + size, num))


def check_features(
    features: NDArray[np.floating],
    *,
    minimum: int,
    name: str = "features",
    videos: VideoRows | None = None,
) -> None:
    """Check that features are finite floats [n, d].

    Raises:
        ValueError: they are not, or there are fewer videos (rows, if each is one) than `minimum`.
    """
    if features.ndim != 2 or not np.issubdtype(features.dtype, np.floating) or not features.shape[1]:
        raise ValueError(f"{name}: expected floats [n, d], got {features.dtype} {list(features.shape)}")
    num = len(features) if videos is None else videos.num
    if num < minimum:
        what = "rows" if videos is None or videos.single else "videos"
        raise ValueError(f"{name}: expected at least {minimum} {what}, got {num}")
    finite = np.concatenate([np.isfinite(features[rows]).all(1) for rows in blocks(len(features))])
    bad = np.flatnonzero(~finite)
    if len(bad):
        raise ValueError(f"{name}: {len(bad)} of {len(features)} rows are not finite, first row {bad[0]}")


def check_pair(
    x_nd: NDArray[np.floating],
    y_md: NDArray[np.floating],
    *,
    minimum: int,
    videos: tuple[VideoRows | None, VideoRows | None] = (None, None),
) -> None:
    """Check two sets before they are compared.

    Raises:
        ValueError: as `check_features`, or their dimensions differ.
    """
    for name, z, rows in (("features", x_nd, videos[0]), ("reference features", y_md, videos[1])):
        check_features(z, minimum=minimum, name=name, videos=rows)
    if x_nd.shape[1] != y_md.shape[1]:
        raise ValueError(f"feature dimension mismatch: {x_nd.shape[1]} vs {y_md.shape[1]}")


def mean_row(*sets: NDArray[np.floating]) -> Array:
    """Return the mean row [d] of all sets together."""
    sums = [np.sum(z[rows], 0, dtype=np.float64) for z in sets for rows in blocks(len(z))]
    return np.sum(sums, 0) / sum(map(len, sets))


def linearized_interval(
    value: float,
    influences: Sequence[Array],
    groups: Sequence[Sequence[Hashable] | None] | None = None,
    *,
    level: float = 0.95,
) -> Interval:
    """Return the interval of a statistic that is not a mean, from its first-order expansion.

    To first order the statistic moves by the sum over the sets of the mean influence of the drawn rows. Its
    variance is that of these means, with Welch's degrees of freedom for Student's t. The interval describes
    the variation over other samples of the same size, not the bias of the statistic.

    Args:
        influences: one array for each independent set of rows; adding a constant changes nothing.
        groups: for each set the label of each row (its prompt, or its video): groups are drawn together.
    """
    variances, sizes, skewed = [], [], False
    for side, rows in enumerate(influences):
        codes = group_codes(None if groups is None else groups[side], len(rows))
        sums = np.bincount(codes, rows - rows.mean())
        units = sums * len(sums) / len(rows)  # their mean is the mean influence
        sizes.append(len(units))
        variances.append(units.var(ddof=1) / len(units) if len(units) > 1 else np.inf)
        skewed |= is_skewed(units)
    num, num_groups = len(influences[0]), sizes[0]
    if min(sizes) < MIN_UNITS:
        return Interval(value, None, None, num, num_groups, f"none, fewer than {MIN_UNITS}")
    total = float(np.sum(variances))
    if total == 0:
        return Interval(value, None, None, num, num_groups, "none, all equal")
    degrees = total**2 / sum(v**2 / (n - 1) for v, n in zip(variances, sizes, strict=True))
    half = t_quantile(level, degrees) * total**0.5
    return Interval(value, value - half, value + half, num, num_groups, "t, linearized", skewed=skewed)
