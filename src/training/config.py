"""Settings of every training run; needs neither torch nor Lightning."""

from dataclasses import dataclass
from typing import Literal

from src.core.fields import Config, opt
from src.parallel.config import ParallelConfig

Use = Literal["ema", "raw"]  # which weights of a checkpoint
PositionGrowth = Literal["pad", "interpolate"]  # of spatial position tables that a stage makes longer
Precision = Literal["fp32", "bf16", "fp16"]
LRSchedule = Literal["constant", "linear", "cosine", "one_cycle", "plateau"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """Steps, optimizer, learning-rate schedule, and the intervals of logging, validation and checkpoints."""

    seed: int = opt(0, "seed of weights, noise, flow times and caption dropout")
    max_steps: int = opt(1000, "number of batches, counted from the start of the stage", ge=1, resumable=True)
    optimizer: Literal["adamw", "muon"] = opt(
        "adamw", "adamw, or muon: orthogonalized momentum for hidden matrices, AdamW for the rest"
    )
    lr: float = opt(1e-3, "peak learning rate", ge=0)
    schedule: LRSchedule = opt("constant", "learning rate over steps")
    warmup_steps: int = opt(100, "steps of linear warm-up (one_cycle: until the peak)", ge=0)
    final_lr_fraction: float = opt(
        0.01, "lowest learning rate as a fraction of the peak; unused by constant", ge=0, le=1
    )
    plateau_patience: int = opt(
        3, "validations without a new best before plateau halves the learning rate", ge=0
    )
    weight_decay: float = opt(
        0.1, "weight decay of linear and convolution weights; all other parameters have none", ge=0
    )
    beta1: float = opt(0.9, "first beta of AdamW", ge=0, lt=1)
    beta2: float = opt(0.95, "second beta of AdamW", ge=0, lt=1)
    max_grad_norm: float = opt(1.0, "gradient norm above which gradients are clipped; 0: no clipping", ge=0)
    ema_decay: float = opt(
        0.999, "decay of the weights' EMA, ramped up over the first steps; 0: no EMA", ge=0, lt=1
    )
    precision: Precision = opt(
        "fp32",
        "bf16, or fp16 (with a scale of the loss, for GPUs without bf16): autocast where the device "
        "supports it, fp32 elsewhere",
    )
    max_skipped_steps: int = opt(
        10,
        "steps in a row with NaN or infinite loss or gradients that are skipped; one more ends the run",
        ge=0,
        resumable=True,
    )
    max_damaged_records: int = opt(
        100,
        "records that may be unreadable; each is named and another one taken; one more ends the run",
        ge=0,
        resumable=True,
    )
    num_micro_batches: int = opt(
        1,
        "parts into which each batch is split to save memory, as equal as possible; fewer where a process "
        "has fewer samples; same gradients",
        ge=1,
    )
    log_every: int = opt(10, "steps between logged metrics", ge=1, resumable=True)
    val_every: int = opt(
        500, "steps between validations; the last step always has one; 0: none", ge=0, resumable=True
    )
    checkpoint_every: int = opt(
        500, "steps between checkpoints; the last step always has one", ge=1, resumable=True
    )
    keep_checkpoints: int = opt(2, "number of newest checkpoints to keep", ge=1, resumable=True)
    keep_every: int = opt(
        0, "also keep the checkpoints of steps that this number divides; 0: none", ge=0, resumable=True
    )
    hang_after_s: float = opt(
        300.0,
        "seconds without progress after which a line names the process that the others wait for; 0: never",
        ge=0,
        resumable=True,
    )
    sample_every: int = opt(
        0, "steps between rounds of sample videos for TensorBoard; 0: none", ge=0, resumable=True
    )
    progress: bool = opt(True, "progress bar with time left", resumable=True)
    parallel: ParallelConfig = opt(ParallelConfig(), "processes and sharding")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schedule == "one_cycle" and self.warmup_steps >= self.max_steps:
            raise ValueError(
                f"warmup_steps must be less than max_steps={self.max_steps}, got {self.warmup_steps}"
            )
        if self.schedule == "plateau" and not self.val_every:
            raise ValueError("schedule=plateau needs validations: val_every must be more than 0, got 0")
