"""Config of audio that is longer than a model was trained for; importable without torch."""

from dataclasses import dataclass
from typing import Literal

from src.core.fields import Config, opt

Method = Literal["windows", "segments", "one_shot"]


@dataclass(frozen=True, kw_only=True)
class LongAudioConfig(Config):
    """Sampling of audio longer than a window; shorter audio is sampled in one shot."""

    method: Method = opt(
        "windows",
        "windows: MultiDiffusion, all windows at each step; segments: one after the other, each with the end "
        "of the last as context; one_shot: all at once, beyond the length of training",
    )
    window_s: float = opt(0.0, "length of a window or segment in seconds; 0: as in training", ge=0)
    hop_fraction: float = opt(
        0.5, "windows: distance of two windows' beginnings as a fraction of their length", gt=0, le=1
    )
    context_fraction: float = opt(
        0.25, "segments: fraction of a segment that is known from the one before; training knows up to 0.25",
        ge=0, lt=1,
    )  # fmt: skip
    num_beams: int = opt(1, "segments: beginnings that are kept; 1: no beam search", ge=1)
    num_branches: int = opt(2, "segments, num_beams > 1: continuations of each that are tried", ge=1)
