"""Diversity of a set by its features alone: Vendi score, and distance between videos of one prompt.

A video counts as one, by the direction of the mean of its rows: rows of one video are alike in any set.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from eval.core.intervals import Array, Interval, mean_interval
from eval.core.results import Score
from eval.distribution.feature_arrays import check_features, linearized_interval
from eval.distribution.suite import FeatureSet

MIN_EIGENVALUE = 1e-12  # of a matrix of trace 1; smaller ones are rounding


class Diversity:
    """Vendi score (Friedman and Dieng 2023) with the cosine as similarity, and intra-prompt distance.

    `vendi`: exp of the entropy of the eigenvalues of the similarity matrix over n, from 1 (all alike) to the
    number of videos or of dimensions. `intra_prompt`: mean over prompts of the mean of 1 - cosine over pairs
    of different videos.
    """

    name = "diversity"
    scores = {
        "vendi": Score(
            1, "", "effective number of different videos: exp of the entropy of their similarities"
        ),
        "intra_prompt": Score(1, "", "1 - cosine between videos of one prompt, mean over prompts"),
    }

    def describe(self) -> dict[str, Any]:
        return {"similarity": "cosine of the mean rows of videos"}

    def measure_set(self, generated: FeatureSet, reference: FeatureSet | None) -> dict[str, Interval | str]:
        check_features(generated.rows, minimum=2, videos=generated.videos)
        return {"vendi": vendi_score(generated), "intra_prompt": intra_prompt_distance(generated)}


def video_directions(x: FeatureSet) -> Iterator[tuple[slice, Array]]:
    """Yield slices of videos and the unit vectors [videos, d] of their mean rows; zero rows stay zero."""
    for rows in x.videos.blocks():
        first, last = x.videos.codes[rows.start], x.videos.codes[rows.stop - 1] + 1
        starts = x.videos.starts[first:last] - rows.start
        sums = np.add.reduceat(np.asarray(x.rows[rows], np.float64), starts, axis=0)
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        yield slice(first, last), np.divide(sums, norms, out=np.zeros_like(sums), where=norms > 0)


def vendi_score(x: FeatureSet) -> Interval:
    """Return the Vendi score; its interval is exp of that of the entropy, to first order in each video.

    The similarities U U' / n and the matrix U' U / n [d, d] have the same eigenvalues but for zeros.
    """
    num, dim = x.videos.num, x.rows.shape[1]
    second = np.zeros((dim, dim))
    for _, units in video_directions(x):
        second += units.T @ units / num
    values, vectors = np.linalg.eigh(second)
    kept = values > MIN_EIGENVALUE
    logs, vectors = np.log(values[kept]), vectors[:, kept]
    entropy = -float(values[kept] @ logs)
    influences = np.empty(num)
    for videos, units in video_directions(x):
        influences[videos] = -((units @ vectors) ** 2) @ logs - entropy
    found = linearized_interval(entropy, [influences], [groups_of_videos(x)])
    low, high = (None if value is None else float(np.exp(value)) for value in (found.low, found.high))
    return replace(
        found, mean=float(np.exp(entropy)), low=low, high=high, method=f"{found.method}, of the logarithm"
    )


def intra_prompt_distance(x: FeatureSet) -> Interval | str:
    """Return the mean distance of videos of one prompt, or why there is none."""
    prompts = [] if x.prompts is None else [x.prompts[start] for start in x.videos.starts[:-1]]
    counts = Counter(prompts)
    sums = {prompt: np.zeros(x.rows.shape[1]) for prompt, count in counts.items() if count > 1}
    if not sums:
        return "no prompt has two videos"
    for videos, units in video_directions(x):
        for prompt, unit in zip(prompts[videos], units, strict=True):
            if prompt in sums:
                sums[prompt] += unit
    values = []
    for prompt, total in sums.items():
        num = counts[prompt]
        values.append(1 - float(total @ total - num) / (num * (num - 1)))  # units: their squares sum to num
    return mean_interval(values)


def groups_of_videos(x: FeatureSet) -> list[Any] | None:
    """Return the cluster of each video, or None if each is one."""
    return None if x.groups is None else [x.groups[start] for start in x.videos.starts[:-1]]
