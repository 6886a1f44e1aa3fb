"""Settings of `eval.run`; this module imports no torch, so that `--help` is quick."""

from dataclasses import dataclass

from eval.backbones.config import ROLES, ClipsConfig, UserProgramConfig, WeightsConfig
from eval.catalog import BACKBONE_NAMES, SUITES, expand_metrics
from eval.distribution.config import StatisticsConfig
from src.core.fields import Config, opt


@dataclass(frozen=True, kw_only=True)
class EvalConfig(Config):
    """Settings of `eval.run`: the manifest, the metrics, and the output folder."""

    manifest: str = opt("???", "JSONL manifest of samples (see eval/core/manifest.py)")
    out: str = opt("???", "folder of the results; created if missing")
    metrics: tuple[str, ...] = opt(("bounce",), f"metrics (listed above) or suites: {', '.join(SUITES)}")
    reference: str = opt("", "manifest of real samples, for distances between sets; empty for none")
    statistics: dict[str, StatisticsConfig] = opt({}, "instead, a file of mean and covariance by backbone")
    backbones: tuple[str, ...] = opt((), f"backbones of features: {', '.join(BACKBONE_NAMES)}")
    weights: dict[str, WeightsConfig] = opt({}, f"networks on this machine by role: {', '.join(ROLES)}")
    local: dict[str, UserProgramConfig] = opt({}, "further backbones by name, from files on this machine")
    num_frames: int = opt(
        16, "frames of a video for image networks given by role, evenly spaced; 0 for all", ge=0
    )
    clips: ClipsConfig = opt(ClipsConfig(), "clips of a video for i3d")
    cache: str = opt("", "folder of cached features, may be shared; empty means OUT/features")
    slices: tuple[str, ...] = opt((), "tags that get table rows of their own; none means every tag")
    strict: bool = opt(False, "stop at the first sample or set that cannot be scored instead of counting it")
    num_workers: int = opt(0, "processes that read media; 0 reads in this one. Results do not change", ge=0)
    seed: int = opt(0, "seed of the bootstrap and of subsets")
    sheet_rows: int = opt(32, "samples on the contact sheet; 0 draws none", ge=0)
    html_videos: int = opt(24, "videos inside report.html; 0 writes no page", ge=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.metrics and not self.backbones and not self.local:
            raise ValueError("metrics: nothing to compute; name some metrics or backbones")
        expand_metrics(self.metrics)
        if self.statistics and self.reference:
            raise ValueError("statistics: `reference` gives the same distances; leave one of them out")
        for name in self.statistics:
            if name not in {*self.backbones, *self.local}:
                raise ValueError(f"statistics: {name!r} is not a backbone of this run; add it to backbones")
