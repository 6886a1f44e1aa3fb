"""When checkpoints are written, which are kept, and where a run goes on.

A run's directory holds `checkpoints/step-00000100.ckpt`. A file with its final name is whole (see
`src.parallel.checkpoint_io`), so the newest name is where to resume; `last.ckpt` is a link for humans.
"""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint

from src.parallel.checkpoint_io import CheckpointError
from src.training.modules.base import TrainingModule

NAME = re.compile(r"step-(\d+)\.ckpt")
LAST = "last.ckpt"


def checkpoint_dir(run_dir: Path) -> Path:
    return run_dir / "checkpoints"


def checkpoints(run_dir: Path) -> list[Path]:
    """All whole checkpoints of a run, oldest first."""
    directory = checkpoint_dir(run_dir)
    found = [p for p in directory.iterdir() if NAME.fullmatch(p.name)] if directory.is_dir() else []
    return sorted(found, key=step_of)


def last_checkpoint(run_dir: Path) -> Path | None:
    """The newest checkpoint, None if there is none."""
    found = checkpoints(run_dir)
    return found[-1] if found else None


def find(run: Path) -> Path:
    """A checkpoint named directly, or the newest of a run's directory.

    Raises:
        CheckpointError: there is none.
    """
    if run.is_dir() and NAME.fullmatch(run.name) is None:
        path = last_checkpoint(run)
        if path is None:
            raise CheckpointError(f"{run}: has no checkpoint (looked in {checkpoint_dir(run)})")
        return path
    if not run.exists():
        raise CheckpointError(f"{run}: no such checkpoint or run directory")
    return run


def step_of(path: Path) -> int:
    match = NAME.fullmatch(path.name)
    assert match is not None, path
    return int(match[1])


def remove_partial(run_dir: Path) -> None:
    """Delete what an interrupted save left behind; only while no other process uses the run."""
    directory = checkpoint_dir(run_dir)
    for path in directory.glob(".step-*.tmp") if directory.is_dir() else ():
        _remove(path)


class CheckpointPolicy(Checkpoint):
    """A checkpoint every `every` steps and after the last one; the newest `keep` stay.

    Where a step is also validated, the checkpoint waits for the end of the validation and holds its
    result. Lightning runs checkpoint callbacks after all others, so averages are up to date (T5).
    """

    def __init__(self, run_dir: Path, *, every: int, keep: int, last_step: int) -> None:
        self.run_dir, self.every, self.keep, self.last_step = run_dir, every, keep, last_step
        self._pending = False

    def on_train_batch_end(
        self, trainer: L.Trainer, module: TrainingModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = module.step
        if step % self.every == 0 or step == self.last_step:
            self._pending = True
            if not _validates(trainer, step):
                self._save(trainer, module)

    def on_validation_end(self, trainer: L.Trainer, module: TrainingModule) -> None:
        if self._pending and trainer.state.fn == "fit":
            self._save(trainer, module)

    def on_train_end(self, trainer: L.Trainer, module: TrainingModule) -> None:
        if self._pending:
            self._save(trainer, module)

    def _save(self, trainer: L.Trainer, module: TrainingModule) -> None:
        path = checkpoint_dir(self.run_dir) / f"step-{module.step:08d}.ckpt"
        trainer.save_checkpoint(path)
        self._pending = False
        if trainer.is_global_zero:
            _point(path.with_name(LAST), path.name)
            for old in checkpoints(self.run_dir)[: -self.keep]:
                _remove(old)


def _validates(trainer: L.Trainer, step: int) -> bool:
    """True if Lightning validates after this step."""
    every = trainer.val_check_batch
    return trainer.enable_validation and isinstance(every, int) and step % every == 0


def _point(link: Path, target: str) -> None:
    """Replace a relative link in one step; file systems without links do without."""
    temporary = link.with_name(f".{link.name}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        os.symlink(target, temporary)
        os.replace(temporary, link)
    except OSError:
        pass


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
