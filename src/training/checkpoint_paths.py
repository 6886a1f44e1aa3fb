"""Paths of checkpoints in a run directory; needs no Lightning.

A run directory contains `checkpoints/step-00000100.ckpt`. A checkpoint with its final name is complete (see
`src.parallel.checkpoint_io`), so the newest name is where to resume; `last.ckpt` is a link for humans.
"""

import re
import shutil
from pathlib import Path

from src.parallel.checkpoint_io import CheckpointError

CHECKPOINT_NAME = re.compile(r"step-(\d+)\.ckpt")
LAST_LINK = "last.ckpt"


def checkpoint_dir(run_dir: Path) -> Path:
    return run_dir / "checkpoints"


def checkpoint_path(run_dir: Path, step: int) -> Path:
    return checkpoint_dir(run_dir) / f"step-{step:08d}.ckpt"


def checkpoint_step(path: Path) -> int:
    """Return the step in a checkpoint's name."""
    match = CHECKPOINT_NAME.fullmatch(path.name)
    assert match is not None, path
    return int(match[1])


def list_checkpoints(run_dir: Path) -> list[Path]:
    """Return all complete checkpoints of a run, oldest first."""
    directory = checkpoint_dir(run_dir)
    found = (
        [p for p in directory.iterdir() if CHECKPOINT_NAME.fullmatch(p.name)] if directory.is_dir() else []
    )
    return sorted(found, key=checkpoint_step)


def last_checkpoint(run_dir: Path) -> Path | None:
    """Return the newest checkpoint, None if there is none."""
    found = list_checkpoints(run_dir)
    return found[-1] if found else None


def find_checkpoint(run: Path) -> Path:
    """Return a checkpoint given by its own path, or the newest one of a run directory.

    Raises:
        CheckpointError: there is none.
    """
    if run.is_dir() and CHECKPOINT_NAME.fullmatch(run.name) is None:  # sharded checkpoints are directories
        path = last_checkpoint(run)
        if path is None:
            raise CheckpointError(f"{run}: no checkpoint in {checkpoint_dir(run)}")
        return path
    if not run.exists():
        raise CheckpointError(f"{run}: no such checkpoint or run directory")
    return run


def remove_partial_checkpoints(run_dir: Path) -> None:
    """Delete the leftovers of interrupted saves; only safe while no other process uses the run."""
    directory = checkpoint_dir(run_dir)
    for path in directory.glob(".step-*.tmp") if directory.is_dir() else ():
        remove_checkpoint(path)


def remove_checkpoint(path: Path) -> None:
    """Delete a checkpoint of either format; errors are ignored."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
