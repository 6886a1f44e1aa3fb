"""Groups of samples that are not independent: all of a prompt, or all rows of a video."""

from collections.abc import Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from src.core.rng import numpy_generator

Array = NDArray[np.float64]
Labels = Sequence[Hashable] | NDArray[np.integer]
"""The group of each value."""


def clusters_of(prompts: Sequence[str], ids: Sequence[str]) -> list[str]:
    """Return the cluster of each sample: its prompt, or itself if it has none or all share one.

    With a single prompt the interval describes other samples of that prompt.
    """
    if len(set(prompts)) == 1:
        return list(ids)
    # a NUL keeps an id apart from an equal prompt
    return [prompt or f"\0{name}" for prompt, name in zip(prompts, ids, strict=True)]


def group_codes(groups: Labels | None, num: int) -> NDArray[np.intp]:
    """Return the number 0.. of each value's group, in order of appearance; each its own without groups."""
    if groups is None:
        return np.arange(num)
    if len(groups) != num:
        raise ValueError(f"groups: {len(groups)} labels for {num} values")
    codes: dict[Hashable, int] = {}
    return np.array([codes.setdefault(group, len(codes)) for group in groups], np.intp)


def cluster_means(data: Array, groups: Labels | None) -> Array:
    """Return the mean of each cluster, or the values themselves without groups."""
    if groups is None:
        return data
    codes = group_codes(groups, len(data))
    return np.bincount(codes, data) / np.bincount(codes)


def sums_by_code(codes: NDArray[np.intp], values: Array | Sequence[float]) -> Array:
    """Return the sum of the values of each code 0.."""
    return np.bincount(codes, values).astype(np.float64)


def bootstrap_counts(
    clusters: Sequence[NDArray[np.integer]], num_resamples: int, *, seed: int = 0
) -> Iterator[NDArray[np.integer]]:
    """Yield for each resample how often each row is drawn, when complete clusters are drawn.

    With several ways of clustering (items and raters) each is drawn by itself and a row counts as often as
    the product of its clusters does (Owen 2007, the pigeonhole bootstrap).

    Args:
        clusters: for each way the code of each row's cluster, 0..number - 1.
    """
    sizes = [int(codes.max()) + 1 for codes in clusters]
    rng = numpy_generator(seed, "clusters", *sizes)
    for _ in range(num_resamples):
        drawn = [np.bincount(rng.integers(size, size=size), minlength=size) for size in sizes]
        yield np.prod([each[codes] for each, codes in zip(drawn, clusters, strict=True)], axis=0)
