"""Settings of the metrics over sets; this module imports no torch."""

from dataclasses import dataclass

from src.core.fields import Config, opt


@dataclass(frozen=True, kw_only=True)
class StatisticsConfig(Config):
    """Precomputed statistics of a reference set on this machine."""

    path: str = opt("???", ".npz with `mu` [d] and `sigma` [d, d] of the reference's features")
    sha256: str = opt("", "expected checksum; empty accepts any")


@dataclass(frozen=True, kw_only=True)
class SetsConfig(Config):
    """Constants of distances between sets."""

    num_neighbors: int = opt(5, "nearest other video that sets the radius of a ball, of precision etc.", ge=1)
    fd_inf_points: int = opt(6, "sizes of subsets from which fd_inf is extrapolated", ge=3)
    fd_inf_orders: int = opt(4, "random orders over which fd_inf is averaged", ge=2)
