"""Precomputed reference statistics, as published by clean-fid and others: .npz of `mu` [d], `sigma` [d, d].

They are enough for the Frechet distance; all other metrics of sets need the reference's samples.
"""

import zipfile
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.core.checksums import verified_sha256
from eval.core.intervals import Interval
from eval.distribution.config import StatisticsConfig
from eval.distribution.feature_arrays import linearized_interval
from eval.distribution.frechet import Moments, frechet_distance, influences
from eval.distribution.suite import FeatureSet, SetScore, try_score


@dataclass(frozen=True)
class ReferenceStatistics:
    """Moments of a reference, with name and sha256 of their file."""

    name: str
    sha256: str
    moments: Moments

    @classmethod
    def load(cls, config: StatisticsConfig) -> "ReferenceStatistics":
        """Load and check a file.

        Raises:
            ValueError: the file is missing, has another checksum, or has no valid mean and covariance.
        """
        path = Path(config.path)
        digest = verified_sha256(path, config.sha256, what="statistics")
        try:
            with np.load(path, allow_pickle=False) as file:
                mean, covariance = (np.asarray(file[key], np.float64) for key in ("mu", "sigma"))
        except (KeyError, ValueError, TypeError, OSError, zipfile.BadZipFile):
            raise ValueError(f"statistics: {path} is not an .npz with `mu` [d] and `sigma` [d, d]") from None
        if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
            shapes = f"`mu` {list(mean.shape)} and `sigma` {list(covariance.shape)}"
            raise ValueError(f"statistics: {path} has {shapes}, expected [d] and [d, d]")
        if not np.isfinite(mean).all() or not np.allclose(covariance, covariance.T, equal_nan=False):
            raise ValueError(f"statistics: {path} is not finite, or `sigma` is not symmetric")
        return cls(path.name, digest, Moments.from_statistics(mean, covariance))

    def distance(
        self,
        name: str,
        x_nd: NDArray[np.floating],
        *,
        videos: Sequence[Hashable] | None = None,
        groups: Sequence[Hashable] | None = None,
    ) -> SetScore:
        """Return the Frechet distance of a set to the reference; its interval covers the set's rows only."""
        notes = [f"against {self.name} (sha256 {self.sha256}), over an unknown number of samples"]
        x_set = FeatureSet.of(x_nd, videos, groups)
        num = x_set.videos.num
        if num <= x_nd.shape[-1]:
            notes.append(f"{num} samples in {x_nd.shape[-1]} dimensions: strong upward bias")

        def measure() -> Interval:
            x = Moments.from_features(x_nd)
            value = frechet_distance(x, self.moments)
            found = linearized_interval(value, [influences(x_nd, x, self.moments)], [x_set.groups])
            return replace(found, num=num)

        return try_score(name, measure, tuple(notes))
