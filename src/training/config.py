"""What every training run can choose, whatever it trains."""

from dataclasses import dataclass
from typing import Literal

from src.core.fields import opt
from src.parallel.fsdp import ParallelConfig
from src.training.optim.lr_schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Steps, optimiser, schedule, and what is written how often."""

    seed: int = opt(0, "seed of weights, noise, times and dropped captions")
    max_steps: int = opt(1000, "batches to train on, counted from the stage's start")
    optimizer: Literal["adamw", "muon"] = opt(
        "adamw", "adamw, or muon: orthogonalised momentum for hidden matrices, AdamW for the rest"
    )
    lr: float = opt(1e-3, "peak learning rate")
    schedule: Schedule = opt("constant", "learning rate over steps")
    warmup_steps: int = opt(100, "steps of rising learning rate (one_cycle: until the peak)")
    final_lr: float = opt(0.01, "lowest learning rate as a share of the peak; not for constant")
    plateau_patience: int = opt(3, "validations without a new best before plateau halves the learning rate")
    weight_decay: float = opt(0.1, "AdamW's weight decay; vectors (gains, biases) are left out")
    beta1: float = opt(0.9, "AdamW's first beta")
    beta2: float = opt(0.95, "AdamW's second beta")
    clip: float = opt(1.0, "largest gradient norm; 0 does not clip")
    ema_decay: float = opt(0.999, "decay of the averaged weights, ramped up over the first steps; 0: none")
    precision: Literal["fp32", "bf16"] = opt("fp32", "bf16: autocast, where the device has it; else fp32")
    micro_batches: int = opt(1, "equal parts into which each batch is cut to save memory; same gradients")
    log_every: int = opt(10, "steps between two lines of metrics")
    val_every: int = opt(500, "steps between two validations; the last step always has one; 0: none")
    checkpoint_every: int = opt(500, "steps between two checkpoints; the last step always has one")
    keep_checkpoints: int = opt(2, "newest checkpoints to keep")
    sample_every: int = opt(0, "steps between two rounds of sample films for TensorBoard; 0: none")
    progress: bool = opt(True, "progress bar with time left")
    parallel: ParallelConfig = opt(ParallelConfig(), "processes and sharding")

    def __post_init__(self) -> None:
        for name in ("max_steps", "log_every", "checkpoint_every", "keep_checkpoints", "micro_batches"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("val_every", "sample_every", "warmup_steps", "clip", "weight_decay", "plateau_patience"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.lr < 0:
            raise ValueError(f"lr must not be negative, got {self.lr}")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must lie in [0, 1), got {self.ema_decay}")
        if not 0 <= self.final_lr <= 1:
            raise ValueError(f"final_lr is a share of lr and must lie in [0, 1], got {self.final_lr}")
        if self.schedule == "one_cycle" and self.warmup_steps >= self.max_steps:
            raise ValueError(f"warmup_steps must be below max_steps, got {self.warmup_steps}")
        if self.schedule == "plateau" and not self.val_every:
            raise ValueError("schedule=plateau needs validations: val_every must be above 0, got 0")
