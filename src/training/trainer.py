"""Train a module on data to the end of its steps, from the beginning or from where it stopped."""

import errno
import logging
import os
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning as L
from rich.console import Console

from src.core.errors import UserError
from src.parallel import checkpoint_io
from src.parallel.checkpoint_io import CheckpointError
from src.parallel.strategy import accelerator_of, build_strategy
from src.training import precision
from src.training.callbacks.checkpoint import CheckpointPolicy, last_checkpoint, remove_partial, step_of
from src.training.callbacks.ema import UpdateAverages, ValidateLast
from src.training.callbacks.metrics import Films, Monitor
from src.training.callbacks.progress import ProgressLine
from src.training.config import TrainConfig, Use
from src.training.init_weights import load_weights
from src.training.loggers import build_loggers
from src.training.modules.base import NonFiniteError, TrainingModule


@dataclass(frozen=True)
class FitResult:
    """How a run ended. `metrics` are the last validation's."""

    checkpoint: Path
    step: int
    resumed_at: int
    seconds: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class Start:
    """The weights that a stage starts from."""

    checkpoint: Path
    use: Use = "ema"
    allow_new: tuple[str, ...] = ()


def fit(
    module: TrainingModule,
    data: L.LightningDataModule,
    config: TrainConfig,
    run_dir: Path,
    *,
    start: Start | None = None,
    label: str = "train",
    callbacks: Sequence[L.Callback] = (),
) -> FitResult:
    """Train to `config.max_steps`; resumes from the newest checkpoint in `run_dir`, bit for bit.

    Args:
        data: its loaders must be sized and resumable (`src.streaming.MediaData` is).
        start: weights to begin with, read at step 0 only.
        label: name in the progress line.

    Raises:
        CheckpointError: a checkpoint is damaged, does not fit, or cannot be written.
        NonFiniteError: the loss became NaN or infinite; the last good checkpoint is kept.
    """
    quiet_lightning()
    began = time.perf_counter()
    run_dir.mkdir(parents=True, exist_ok=True)
    remove_partial(run_dir)
    resume = last_checkpoint(run_dir)
    resumed_at = step_of(resume) if resume is not None else 0
    if resume is not None and resumed_at >= config.max_steps:
        return FitResult(resume, resumed_at, resumed_at, 0.0, _stored_metrics(resume))
    if getattr(data, "num_steps", None) is not None:
        # One more than is used: the last batch is then not the end of an epoch, and a finished run
        # can be prolonged like any other.
        data.num_steps = max(data.num_steps, config.max_steps + 1)
    _say_precision(config)
    start = None if resume is not None else start
    trainer = build_trainer(module, data, config, run_dir, resumed_at, label, start, callbacks)
    _run(trainer, module, data, resume)
    path = last_checkpoint(run_dir)
    assert path is not None
    return FitResult(path, module.step, resumed_at, time.perf_counter() - began, dict(module.val_metrics))


def _run(
    trainer: L.Trainer, module: TrainingModule, data: L.LightningDataModule, resume: Path | None
) -> None:
    """`Trainer.fit` with the ends that a person should read about in one line."""
    try:
        trainer.fit(module, data, ckpt_path=resume)
    except (NonFiniteError, CheckpointError) as error:
        if trainer.is_global_zero:
            raise
        raise SystemExit(2) from error  # every process has this error, the first one tells
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"{trainer.default_root_dir}: {error.strerror}; the last checkpoint is kept"
            ) from error
        raise
    except RuntimeError as error:
        if trainer.world_size > 1 and "onnection" in str(error):  # reset or closed by peer
            raise UserError("another process of this run has ended; its own message says why") from error
        raise
    except SystemExit as error:
        if trainer.interrupted:  # Lightning turns Ctrl-C into a plain exit
            raise KeyboardInterrupt from error
        raise


def build_trainer(
    module: TrainingModule,
    data: L.LightningDataModule,
    config: TrainConfig,
    run_dir: Path,
    resumed_at: int,
    label: str,
    start: Start | None,
    callbacks: Sequence[L.Callback],
) -> L.Trainer:
    """The Trainer with everything that a run needs."""
    monitor = Monitor(config.log_every)
    own: list[L.Callback] = [UpdateAverages(), monitor, ValidateLast(config.max_steps)]
    own += [StartFrom(start)] if start is not None else []
    own += [Films(config.sample_every, config.max_steps)] if config.sample_every else []
    own += [ProgressLine(config.max_steps, label, monitor)] if config.progress else []
    own += [*callbacks]
    own += [
        CheckpointPolicy(
            run_dir, every=config.checkpoint_every, keep=config.keep_checkpoints, last_step=config.max_steps
        )
    ]
    validates = config.val_every > 0 and bool(data.val_dataloader())
    return L.Trainer(
        accelerator=accelerator_of(config.parallel),
        devices=config.parallel.devices,
        num_nodes=config.parallel.nodes,
        strategy=build_strategy(config.parallel),
        precision="32-true",  # autocast is the module's own, weights are always fp32
        max_epochs=-1,
        max_steps=config.max_steps,
        val_check_interval=min(config.val_every, config.max_steps) if validates else None,
        check_val_every_n_epoch=None,
        limit_val_batches=1.0 if validates else 0,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        logger=build_loggers(run_dir, resumed_at),
        callbacks=own,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=run_dir,
    )


class StartFrom(L.Callback):
    """Loads another run's weights once the networks stand where they will train."""

    def __init__(self, start: Start) -> None:
        self.start = start

    def on_fit_start(self, trainer: L.Trainer, module: TrainingModule) -> None:
        report = load_weights(module, self.start.checkpoint, self.start.use, self.start.allow_new)
        rank_zero_print(str(report))


def _say_precision(config: TrainConfig) -> None:
    device = accelerator_of(config.parallel)
    if precision.resolve(config.precision, device) != config.precision:
        rank_zero_print(f"precision: this {device} has no {config.precision}; training in fp32")


def rank_zero_print(text: str) -> None:
    """One line from the first process."""
    if os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0":
        Console(highlight=False).print(text, markup=False, soft_wrap=True)


def quiet_lightning() -> None:
    """No banners, no tips; errors still show."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*in eval mode at the start.*")  # the averages are


def _stored_metrics(path: Path) -> dict[str, float]:
    if checkpoint_io.is_sharded(path):
        return dict(checkpoint_io.read_meta(path).get("val_metrics", {}))
    return dict(checkpoint_io.read(path, mmap=True).get("val_metrics", {}))
