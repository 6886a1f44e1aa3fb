"""A run's directory: one process at a time, its config and provenance written before step 0."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from src.core import config as configs
from src.core import provenance
from src.core.errors import UserError

# Settings that change where or how fast a run goes, not what it computes; a resumed run may change them.
FREE_KEYS = frozenset(
    {
        "run_dir",
        "train.max_steps",
        "train.num_workers",
        "data.num_workers",
        "train.devices",
        "train.log_every",
    }
)
RESULTS = ("checkpoints/step-*", "*/dataset.json", "*/.parts")


def is_first_rank() -> bool:
    """True in a single process and in rank 0 of several."""
    return os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0"


@contextmanager
def opened(run_dir: Path, config: Any, compare: bool = True) -> Iterator[Path]:
    """Lock a run directory, check that it belongs to this config, and record provenance.

    Args:
        compare: refuse a directory that holds a run with other settings.

    Raises:
        UserError: another process uses it, or it holds a run with other settings.
    """
    if not is_first_rank():  # ranks started by the launcher: rank 0 holds the lock for all of them
        yield run_dir
        return
    run_dir.mkdir(parents=True, exist_ok=True)
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
            _refuse_other_settings(run_dir, config)
        provenance.write(run_dir, configs.to_yaml(config))
        yield run_dir
    finally:
        lock.release()


def _refuse_other_settings(run_dir: Path, config: Any) -> None:
    path = run_dir / "config.yaml"
    results = [p for pattern in RESULTS for p in run_dir.glob(pattern)]
    if not path.is_file() or not results:  # a run that failed before its first result may be mended
        return
    old, new = configs.read_flat(path), configs.flatten(config)
    changed = [k for k in sorted(old.keys() | new.keys()) if k not in FREE_KEYS and old.get(k) != new.get(k)]
    if changed:
        first = changed[0]
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise UserError(
            f"run_dir {run_dir} holds a run with other settings: {first} was {old.get(first)!r}, "
            f"now {new.get(first)!r}{more}; give another run_dir=... or remove the old run"
        )
