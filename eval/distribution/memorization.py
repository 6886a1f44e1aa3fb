"""Copies of the reference (the training set): the nearest reference video of each generated one."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.core.intervals import Array, Interval, mean_interval
from eval.core.results import FRACTION, Score
from eval.distribution.diversity import groups_of_videos, video_directions
from eval.distribution.feature_arrays import check_pair
from eval.distribution.suite import FeatureSet


@dataclass(frozen=True)
class Nearest:
    """For each video the number of the most similar reference video and their cosine.

    `authentic`: it is less similar to it than that one is to another reference video.
    """

    index: np.ndarray
    cosine: Array
    authentic: np.ndarray


class Memorization:
    """Authenticity (Alaa et al. 2022) and the cosine to the nearest reference video."""

    name = "memorization"
    scores = {
        "nearest": Score(0, "", "cosine to the nearest reference video, mean over videos"),
        "authentic": Score(
            1, FRACTION, "videos less near to a reference video than another reference video is"
        ),
    }

    def describe(self) -> dict[str, Any]:
        return {"similarity": "cosine of the mean rows of videos"}

    def measure_set(self, generated: FeatureSet, reference: FeatureSet | None) -> dict[str, Interval | str]:
        if reference is None:
            return dict.fromkeys(self.scores, "needs the training set: reference=...")
        check_pair(generated.rows, reference.rows, minimum=1, videos=(generated.videos, reference.videos))
        if reference.videos.num < 2:
            return dict.fromkeys(self.scores, "the reference has one video")
        found, groups = find_nearest(generated, reference), groups_of_videos(generated)
        return {
            "nearest": mean_interval(found.cosine, groups),
            "authentic": mean_interval(found.authentic.astype(float), groups, kind="fraction"),
        }


def find_nearest(x: FeatureSet, y: FeatureSet) -> Nearest:
    """Return the nearest video of Y of each of X, block by block."""
    index, cosine = nearest_videos(x, y)
    _, own = nearest_videos(y, y, itself=True)
    return Nearest(index, cosine, cosine < own[index])


def nearest_videos(x: FeatureSet, y: FeatureSet, *, itself: bool = False) -> tuple[np.ndarray, Array]:
    """Return number and cosine of the nearest video of Y; `itself`: the sets are one, another one counts."""
    index, cosine = np.zeros(x.videos.num, np.intp), np.full(x.videos.num, -np.inf)
    for rows, left in video_directions(x):
        for columns, right in video_directions(y):
            products = left @ right.T
            if itself:
                products[
                    np.arange(rows.start, rows.stop)[:, None] == np.arange(columns.start, columns.stop)
                ] = -np.inf
            best = products.argmax(1)
            value = products[np.arange(len(best)), best]
            nearer = value > cosine[rows]
            index[rows] = np.where(nearer, best + columns.start, index[rows])
            cosine[rows] = np.maximum(cosine[rows], value)
    return index, cosine
