"""A run's directory: one process at a time; its config and provenance are written before step 0."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from src.core import config as configs
from src.core import provenance
from src.core.errors import UserError
from src.core.launch import is_first_rank

STARTED = {".lock", ".owner", "config.yaml", "provenance.json", "code.diff"}
RESULTS = ("checkpoints/step-*", "*/dataset.json", "*/.parts")


@contextmanager
def locked_run_dir(run_dir: Path, config: Any, compare: bool = True) -> Iterator[Path]:
    """Lock a run directory, check that it belongs to this config, and record provenance.

    Args:
        compare: reject a directory that holds a run with other settings.

    Raises:
        UserError: another process uses it, or it holds a run with other settings.
    """
    if not is_first_rank():  # ranks started by the launcher: rank 0 holds the lock for all of them
        yield run_dir
        return
    is_new = not run_dir.exists()
    make_folder(run_dir, "run_dir")
    lock = FileLock(run_dir / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        owner = (run_dir / ".owner").read_text().strip() if (run_dir / ".owner").is_file() else "unknown"
        raise UserError(
            f"run_dir {run_dir} is in use by another process (pid {owner}); "
            "wait for it or give another run_dir=..."
        ) from error
    try:
        (run_dir / ".owner").write_text(str(os.getpid()))
        if compare:
            _refuse_changed_run(run_dir, config)
        provenance.write(run_dir, configs.to_yaml(config))
        yield run_dir
    except UserError:  # a mistake found before anything was computed leaves nothing behind
        if is_new:
            _remove_empty_run(run_dir)
        raise
    finally:
        lock.release()


def _remove_empty_run(run_dir: Path) -> None:
    """Remove a run directory that holds only what a start writes there."""
    paths = list(run_dir.iterdir())
    if {path.name for path in paths} <= STARTED:
        for path in paths:
            path.unlink()
        run_dir.rmdir()


def make_folder(path: Path, key: str) -> None:
    """Make an output folder and its parents.

    Raises:
        UserError: it cannot be made or written to; the message names the setting `key`.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{key}={path}: cannot be created: {error.strerror}") from error
    if not os.access(path, os.W_OK):
        raise UserError(f"{key}={path}: no permission to write there")


def _refuse_changed_run(run_dir: Path, config: Any) -> None:
    path = run_dir / "config.yaml"
    results = [p for pattern in RESULTS for p in run_dir.glob(pattern)]
    if not path.is_file() or not results:  # a run that failed before its first result may be corrected
        return
    refuse_changed_settings(
        configs.read_flat(path),
        configs.flatten(config),
        free={"run_dir", *configs.resumable_keys(config)},
        message=f"run_dir {run_dir} holds a run with other settings",
        advice="give another run_dir=... or remove the old run",
    )


def refuse_changed_settings(
    old: dict[str, Any], new: dict[str, Any], *, message: str, advice: str, free: set[str] | None = None
) -> None:
    """Refuse to mix results of two settings.

    Args:
        old, new: flat settings by dotted key.
        free: keys that may differ.

    Raises:
        UserError: something else differs; names the first such key with both values.
    """
    changed = [
        k for k in sorted(old.keys() | new.keys()) if k not in (free or ()) and old.get(k) != new.get(k)
    ]
    if changed:
        first = changed[0]
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise UserError(f"{message}: {first} was {old.get(first)!r}, now {new.get(first)!r}{more}; {advice}")
