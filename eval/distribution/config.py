"""Settings of the metrics over sets; this module imports no torch."""

from dataclasses import dataclass

from src.core.fields import Config, opt


@dataclass(frozen=True, kw_only=True)
class StatisticsConfig(Config):
    """Precomputed statistics of a reference set on this machine."""

    path: str = opt("???", ".npz with `mu` [d] and `sigma` [d, d] of the reference's features")
    sha256: str = opt("", "expected checksum; empty accepts any")
