"""Settings of a plan; needs no torch."""

from dataclasses import dataclass

from src.core.fields import Config, opt
from src.planning.hardware import GPUS


@dataclass(frozen=True, kw_only=True)
class PlanConfig(Config):
    """The cluster that a stage is planned for."""

    gpus: int = opt(8, "number of GPUs", ge=1)
    gpu: str = opt("h100", "kind of GPU", choices=tuple(GPUS))
    matmul_efficiency: float = opt(
        0.0, "fraction of the peak that products reach; 0: the table's", ge=0, le=1
    )
    attention_efficiency: float = opt(
        0.0, "fraction of the peak that attention reaches; 0: the table's", ge=0, le=1
    )
    hour_price: float = opt(0.0, "dollars for an hour of one GPU; 0: the table's", ge=0)
    rows: int = opt(12, "meshes to show, the fastest first; 0: all", ge=0)
