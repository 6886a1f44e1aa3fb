"""Settings of the pairs of frames of a video and its reference."""

from dataclasses import dataclass

from src.core.fields import Config, opt


@dataclass(frozen=True, kw_only=True)
class PairsConfig(Config):
    """Differences between a video and its reference that count as none."""

    aspect_tolerance: float = opt(
        0.02, "largest difference of the shapes, as a fraction, at which frames are resized", ge=0
    )
    rate_tolerance: float = opt(
        0.02, "largest difference of the rates, as a fraction, at which frames are paired by number", ge=0
    )
    time_tolerance_s: float = opt(
        0.002, "of time stamps, in seconds: Matroska rounds them to milliseconds", ge=0
    )
