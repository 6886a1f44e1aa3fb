"""Callback that writes checkpoints and removes old ones."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint

from src.parallel.strategy import MeshStrategy
from src.training.checkpoint_paths import (
    LAST_LINK,
    checkpoint_path,
    checkpoint_step,
    list_checkpoints,
    remove_checkpoint,
)
from src.training.modules.base import TrainingModule
from src.training.preemption import REQUEUE_EXIT_CODE, PreemptionSignals


class CheckpointCallback(Checkpoint):
    """Saves a checkpoint every `every` steps and after the last one.

    Keeps the newest `keep`, and those of steps that `keep_every` divides. With several processes a checkpoint
    is written during the next steps; the run ends when the last one is complete.
    If a step is also validated, the checkpoint is saved after the validation and contains its result. Derives
    from Lightning's `Checkpoint` so that it runs after all other callbacks, the EMA's among them.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        every: int,
        keep: int,
        keep_every: int,
        last_step: int,
        preemption: PreemptionSignals,
    ) -> None:
        self.run_dir, self.every, self.keep, self.last_step = run_dir, every, keep, last_step
        self.keep_every, self.preemption = keep_every, preemption
        self._pending = self._stops = False

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.preemption.install()

    def teardown(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        self.preemption.uninstall()

    def on_train_batch_end(
        self, trainer: L.Trainer, module: TrainingModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = module.step
        self._stops = step != self.last_step and self.preemption.stops(module, trainer.world_size)
        if step % self.every == 0 or step == self.last_step or self._stops:
            self._pending = True
            if not _validates_after(trainer, step):
                self._save(trainer, module)

    def on_validation_end(self, trainer: L.Trainer, module: TrainingModule) -> None:
        if self._pending and trainer.state.fn == "fit":
            self._save(trainer, module)

    def on_train_end(self, trainer: L.Trainer, module: TrainingModule) -> None:
        if self._pending:
            self._save(trainer, module)
        wait_for_checkpoint(trainer)

    def _save(self, trainer: L.Trainer, module: TrainingModule) -> None:
        path = checkpoint_path(self.run_dir, module.step)
        trainer.save_checkpoint(path, storage_options={"on_complete": partial(self._complete, path)})
        self._pending = False
        if self._stops:
            wait_for_checkpoint(trainer)
            if trainer.is_global_zero:
                print(f"stopped by a signal at step {module.step}; the same command resumes", flush=True)
            raise SystemExit(REQUEUE_EXIT_CODE)

    def _complete(self, path: Path) -> None:
        """Point the link at a checkpoint that has its final name, and remove old ones; on the first rank."""
        _replace_link(path.with_name(LAST_LINK), path.name)
        for old in list_checkpoints(self.run_dir)[: -self.keep]:
            if not self.keep_every or checkpoint_step(old) % self.keep_every:
                remove_checkpoint(old)


def wait_for_checkpoint(trainer: L.Trainer) -> None:
    """Wait until an asynchronous save is complete; collective."""
    if isinstance(trainer.strategy, MeshStrategy):
        trainer.strategy.saver.wait()


def _validates_after(trainer: L.Trainer, step: int) -> bool:
    every = trainer.val_check_batch
    return trainer.enable_validation and isinstance(every, int) and step % every == 0


def _replace_link(link: Path, target: str) -> None:
    """Replace a relative link in one step; skipped on file systems without links."""
    temporary = link.with_name(f".{link.name}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        os.symlink(target, temporary)
        os.replace(temporary, link)
    except OSError:
        pass
