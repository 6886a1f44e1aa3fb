"""Settings of `eval.run`; this module imports no torch, so that `--help` is quick."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.alignment.config import AlignmentConfig
from eval.backbones.config import ROLES, ClipsConfig, UserProgramConfig, WeightsConfig
from eval.bounce_checker.config import CheckerConfig
from eval.catalog import AUTO, BACKBONE_NAMES, SUITES, expand_metrics
from eval.core.pairs_config import PairsConfig
from eval.distribution.config import SetsConfig, StatisticsConfig
from eval.judges.config import JudgeConfig
from eval.quality.config import QualityConfig
from src.core.fields import Config, opt


@dataclass(frozen=True, kw_only=True)
class EvalConfig(Config):
    """Settings of `eval.run`: the samples, the metrics, and the output folder."""

    videos: str = opt("", "folder of videos, images or sounds to measure; or give a manifest")
    manifest: str = opt("", "JSONL manifest of samples (see eval/core/manifest.py), in place of a folder")
    prompts: str = opt(
        "", "prompts of the folder's videos: .txt in order of their names, .json, .jsonl or .csv"
    )
    out: str = opt("", "folder of the results; empty means scores/NAME, NAME of the folder of the samples")
    metrics: tuple[str, ...] = opt(
        (AUTO,),
        f"metrics (listed above) or suites: {', '.join(SUITES)}; {AUTO}: what the samples have facts, sound "
        "and references for; package.module:Class: your own (docs/own_metric.md)",
    )
    judges: dict[str, JudgeConfig] = opt(
        {}, "programs or servers that score samples, by name (docs/judges.md)"
    )
    own: dict[str, Any] = opt(
        {}, "parameters of metrics of your own code, by name of the class: own.MyMetric.threshold=0.5"
    )
    reference: str = opt(
        "",
        "folder or manifest of real samples, for distances between sets; a folder with a file of the same "
        "name for every video also gives each video its reference. Empty for none",
    )
    statistics: dict[str, StatisticsConfig] = opt({}, "instead, a file of mean and covariance by backbone")
    backbones: tuple[str, ...] = opt((), f"backbones of features: {', '.join(BACKBONE_NAMES)}")
    weights: dict[str, WeightsConfig] = opt({}, f"networks on this machine by role: {', '.join(ROLES)}")
    local: dict[str, UserProgramConfig] = opt({}, "further backbones by name, from files on this machine")
    num_frames: int = opt(
        16, "frames of a video for image networks given by role, evenly spaced; 0 for all", ge=0
    )
    clips: ClipsConfig = opt(ClipsConfig(), "clips of a video for i3d")
    cache: str = opt("", "folder of cached features, may be shared; empty means OUT/features")
    alignment: AlignmentConfig = opt(AlignmentConfig(), "constants of metrics of alignment")
    quality: QualityConfig = opt(QualityConfig(), "constants of metrics of quality")
    pairs: PairsConfig = opt(PairsConfig(), "how frames of a video and its reference are paired")
    bounce: CheckerConfig = opt(CheckerConfig(), "constants of the Bounce checker")
    sets: SetsConfig = opt(SetsConfig(), "constants of distances between sets")
    slices: tuple[str, ...] = opt((), "tags that get table rows of their own; none means every tag")
    strict: bool = opt(False, "stop at the first sample or set that cannot be scored instead of counting it")
    num_workers: int = opt(0, "processes that read media; 0 reads in this one. Results do not change", ge=0)
    seed: int = opt(0, "seed of the bootstrap and of subsets")
    sheet_rows: int = opt(32, "samples on the contact sheet; 0 draws none", ge=0)
    html_videos: int = opt(24, "videos inside report.html; 0 writes no page", ge=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.videos) == bool(self.manifest):
            what = "give only one of them" if self.videos else "videos=FOLDER or manifest=FILE must be given"
            raise ValueError(f"videos, manifest: {what}")
        if not self.metrics and not self.backbones and not self.local and not self.judges:
            raise ValueError("metrics: nothing to compute; name some metrics or backbones")
        for name, parameters in self.own.items():
            if not isinstance(parameters, dict):
                raise ValueError(f"own.{name}: expected parameters by name, got {parameters!r}")
        expand_metrics(name for name in self.metrics if name != AUTO)
        if self.statistics and self.reference:
            raise ValueError("statistics: `reference` gives the same distances; leave one of them out")
        for name in self.statistics:
            if name not in {*self.backbones, *self.local}:
                raise ValueError(f"statistics: {name!r} is not a backbone of this run; add it to backbones")

    @property
    def samples(self) -> str:
        """The folder or manifest whose samples are measured."""
        return self.videos or self.manifest

    @property
    def out_folder(self) -> Path:
        """The folder of the results."""
        path = Path(self.samples).resolve()
        return Path(self.out) if self.out else Path("scores") / (path if self.videos else path.parent).name
