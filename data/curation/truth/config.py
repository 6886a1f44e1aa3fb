"""Settings of data.curation.validate; needs no torch."""

from dataclasses import dataclass

from src.core.fields import Config, opt

DEFAULT = "configs/curation/finetuning.yaml"


@dataclass(frozen=True, kw_only=True)
class ValidateConfig(Config):
    """Settings of the measurement."""

    out: str = opt("runs/curation_truth", "folder to write: trials.jsonl, table.md, curves.png, camera.md")
    config: str = opt(DEFAULT, "config of data.curate whose thresholds are measured")
    group: str = opt("scoring", "seeds and encoders", choices=("setting", "scoring"))
    filters: tuple[str, ...] = opt((), "filters to measure, and `camera` for the labels; none means all")
    num: int = opt(100, "clips to reject and clips to keep, of each filter", ge=2)
    num_labels: int = opt(40, "clips of each camera label", ge=1)
    strengths: tuple[float, ...] = opt((0.1, 0.25, 0.5, 0.75), "strengths of the borderline clips", gt=0)
    num_borderline: int = opt(20, "clips of each strength; 0 draws no curves", ge=0)
    num_workers: int = opt(2, "processes; 0 works in this one", ge=0)
