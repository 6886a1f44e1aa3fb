"""Train a module to the end of its steps, from the beginning or from the newest checkpoint."""

import errno
import logging
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
from rich.console import Console

from src.core.errors import UserError
from src.core.launch import check_world, global_rank
from src.parallel import checkpoint_io
from src.parallel.checkpoint_io import CheckpointError
from src.parallel.strategy import build_strategy, resolve_accelerator
from src.training import precision
from src.training.callbacks.checkpoint import CheckpointCallback
from src.training.callbacks.damaged_records import DamagedRecords, DamagedRecordsError
from src.training.callbacks.ema import EMACallback, ValidateLastStep
from src.training.callbacks.hang_watch import HangWatch
from src.training.callbacks.metrics import MetricsCallback
from src.training.callbacks.progress import ProgressLine
from src.training.checkpoint_paths import checkpoint_step, last_checkpoint, remove_partial_checkpoints
from src.training.config import TrainConfig
from src.training.init_weights import InitFrom, load_optimizer_state, load_weights
from src.training.loggers import build_loggers
from src.training.modules.base import TrainingModule
from src.training.preemption import REQUEUE_EXIT_CODE, PreemptionSignals
from src.training.skipped_steps import NonFiniteError


@dataclass(frozen=True)
class FitResult:
    """Outcome of a run; `metrics` are those of the last validation."""

    checkpoint: Path
    step: int
    resumed_at: int
    seconds: float
    metrics: dict[str, float]


def fit(
    module: TrainingModule,
    data: L.LightningDataModule,
    config: TrainConfig,
    run_dir: Path,
    *,
    init_from: InitFrom | None = None,
    label: str = "train",
    metadata: Mapping[str, str] | None = None,
    callbacks: Sequence[L.Callback] = (),
) -> FitResult:
    """Train to `config.max_steps`; resumes from the newest checkpoint in `run_dir`, bit for bit.

    Args:
        data: its loaders must be sized and resumable (those of `MediaDataModule` are).
        init_from: weights to start from; ignored when the run resumes.
        label: name in the progress line.
        metadata: entries to store in every checkpoint, such as the key of the latents' TAE.

    Raises:
        CheckpointError: a checkpoint is damaged, does not fit, or cannot be written.
        NonFiniteError: loss or gradients were NaN or infinite in too many steps in a row; the last
            checkpoint is kept.
        DamagedRecordsError: too many records of the data cannot be read.
    """
    quiet_lightning()
    start = time.perf_counter()
    run_dir.mkdir(parents=True, exist_ok=True)
    remove_partial_checkpoints(run_dir)
    resume = last_checkpoint(run_dir)
    resumed_at = checkpoint_step(resume) if resume is not None else 0
    if resume is not None and resumed_at >= config.max_steps:
        stored = checkpoint_io.read_entry(resume, "val_metrics", {})
        return FitResult(resume, resumed_at, resumed_at, 0.0, dict(stored))
    if getattr(data, "num_steps", None) is not None:
        # One step more than is used: otherwise the last batch ends an epoch, and Lightning would not resume a
        # finished run with a larger max_steps inside that epoch.
        data.num_steps = max(data.num_steps, config.max_steps + 1)  # type: ignore[attr-defined]
    _report_precision(config)
    metrics = MetricsCallback(config.log_every)
    own: list[L.Callback] = [EMACallback(), metrics, ValidateLastStep(config.max_steps)]
    own = [DamagedRecords(config.max_damaged_records, config.log_every), HangWatch(config.hang_after_s), *own]
    own.append(StoreMetadata(metadata or {}))
    if init_from is not None and resume is None:
        own.append(InitWeights(init_from))
    if config.progress:
        own.append(ProgressLine(config.max_steps, label, metrics))
    validates = config.val_every > 0 and bool(data.val_dataloader())
    trainer = build_trainer(
        config, run_dir, resumed_at=resumed_at, validates=validates, callbacks=[*own, *callbacks]
    )
    _run(trainer, module, data, resume)
    path = last_checkpoint(run_dir)
    assert path is not None
    return FitResult(path, module.step, resumed_at, time.perf_counter() - start, dict(module.val_metrics))


def _run(
    trainer: L.Trainer, module: TrainingModule, data: L.LightningDataModule, resume: Path | None
) -> None:
    """Call `Trainer.fit` and turn expected failures into one-line errors."""
    try:
        trainer.fit(module, data, ckpt_path=resume)
    except (NonFiniteError, DamagedRecordsError, CheckpointError) as error:
        if trainer.is_global_zero:
            raise
        raise SystemExit(2) from error  # every process has this error; the first one prints it
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"{trainer.default_root_dir}: {error.strerror}; the last checkpoint is kept"
            ) from error
        raise
    except RuntimeError as error:
        if trainer.world_size > 1 and "onnection" in str(error):  # reset or closed by peer
            raise UserError("another process of this run has failed; see its error message") from error
        raise
    except SystemExit as error:
        # Lightning turns Ctrl-C into a plain exit; ours has a code of its own
        if trainer.interrupted and error.code != REQUEUE_EXIT_CODE:
            raise KeyboardInterrupt from error
        raise


def build_trainer(
    config: TrainConfig,
    run_dir: Path,
    *,
    resumed_at: int,
    validates: bool,
    callbacks: Sequence[L.Callback],
) -> L.Trainer:
    """Return a Lightning trainer that adds the checkpoints and loggers of a run to `callbacks`.

    Raises:
        UserError: the processes that SLURM or another launcher started are not those of the config.
    """
    parallel = config.parallel
    checkpoints = CheckpointCallback(
        run_dir,
        every=config.checkpoint_every,
        keep=config.keep_checkpoints,
        keep_every=config.keep_every,
        last_step=config.max_steps,
        preemption=PreemptionSignals(config.log_every),
    )
    accelerator, strategy = resolve_accelerator(parallel), build_strategy(parallel)
    check_world(parallel.num_devices, parallel.num_nodes)
    return L.Trainer(
        accelerator=accelerator,
        devices=parallel.num_devices,
        num_nodes=parallel.num_nodes,
        strategy=strategy,
        precision="32-true",  # the module uses autocast itself; weights are always fp32
        # One endless epoch: Lightning would otherwise end at the last batch of the loaders.
        max_epochs=-1,
        max_steps=config.max_steps,
        val_check_interval=min(config.val_every, config.max_steps) if validates else None,
        check_val_every_n_epoch=None,
        limit_val_batches=1.0 if validates else 0,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        logger=build_loggers(run_dir, resumed_at),
        callbacks=[*callbacks, checkpoints],
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,  # batches are split over ranks by the batch sampler
        default_root_dir=run_dir,
    )


class InitWeights(L.Callback):
    """Loads another run's weights once the networks are built and sharded."""

    def __init__(self, init_from: InitFrom) -> None:
        self.init_from = init_from

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, TrainingModule)
        init = self.init_from
        report = load_weights(module, init, Path(trainer.default_root_dir))
        if init.with_optimizer:
            load_optimizer_state(trainer.optimizers, init.checkpoint)
        if trainer.is_global_zero:
            _print_line(f"{report}\n  optimizer state loaded" if init.with_optimizer else str(report))


class StoreMetadata(L.Callback):
    """Writes entries that identify a run's data into each of its checkpoints."""

    def __init__(self, metadata: Mapping[str, str]) -> None:
        self.metadata = metadata

    def on_save_checkpoint(
        self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint.update(self.metadata)


def _report_precision(config: TrainConfig) -> None:
    device = resolve_accelerator(config.parallel)
    if precision.resolve(config.precision, device) != config.precision and global_rank() == 0:
        _print_line(f"precision: this {device} does not support {config.precision}; training in fp32")


def _print_line(text: str) -> None:
    Console(highlight=False).print(text, markup=False, soft_wrap=True)


def quiet_lightning() -> None:
    """Silence Lightning's banners and tips; errors still show."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*in eval mode at the start.*")  # the EMA networks are
