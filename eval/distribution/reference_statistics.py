"""Reference statistics in a file, as clean-fid and others publish them: an .npz of `mu` [d], `sigma` [d, d].

A Frechet distance needs no more of the reference. What else is measured against a set needs its films.
"""

import zipfile
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.backbones.extractor import checked_weights
from eval.core.intervals import Interval
from eval.distribution.feature_arrays import linearised_interval
from eval.distribution.frechet import Moments, frechet_distance, influences
from eval.distribution.suite import SetScore, scored
from src.core.fields import opt


@dataclass(frozen=True, kw_only=True)
class StatisticsConfig:
    """Where the statistics of a reference lie on this machine."""

    path: str = opt("???", ".npz with `mu` [d] and `sigma` [d, d] of the reference's features")
    sha256: str = opt("", "checksum that it must have; empty takes any")


@dataclass(frozen=True)
class Published:
    """Moments of a reference, and which file they are from."""

    name: str
    sha256: str
    moments: Moments

    @classmethod
    def load(cls, config: StatisticsConfig) -> "Published":
        """Read and check a file.

        Raises:
            ValueError: no such file, another checksum, or no mean and covariance in it.
        """
        path = Path(config.path)
        digest = checked_weights(path, config.sha256, what="statistics")
        try:
            with np.load(path, allow_pickle=False) as file:
                mean, covariance = (np.asarray(file[key], np.float64) for key in ("mu", "sigma"))
        except (KeyError, ValueError, TypeError, OSError, zipfile.BadZipFile):
            raise ValueError(f"statistics: {path} is no .npz with `mu` [d] and `sigma` [d, d]") from None
        if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
            shapes = f"`mu` {list(mean.shape)} and `sigma` {list(covariance.shape)}"
            raise ValueError(f"statistics: {path} holds {shapes}, expected [d] and [d, d]")
        if not np.isfinite(mean).all() or not np.allclose(covariance, covariance.T, equal_nan=False):
            raise ValueError(f"statistics: {path} is not finite, or `sigma` is not symmetric")
        return cls(path.name, digest, Moments.given(mean, covariance))

    def distance(
        self, name: str, x_nd: NDArray[np.floating], groups: Sequence[Hashable] | None, seed: int
    ) -> SetScore:
        """Frechet distance of a set from these; the interval is of the judged set's rows alone."""
        notes = [f"against {self.name} (sha256 {self.sha256}), which does not say of how many samples"]
        if len(x_nd) <= x_nd.shape[-1]:
            notes.append(f"{len(x_nd)} samples in {x_nd.shape[-1]} dimensions: biased upwards by much")

        def measure() -> Interval:
            x = Moments.of(x_nd)
            value = frechet_distance(x, self.moments)
            return linearised_interval(value, [influences(x_nd, x, self.moments)], [groups], seed=seed)

        return scored(name, measure, tuple(notes))
