"""Score clips in parallel processes; an interruption loses the units in progress, a crash one clip."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from data.curation.config import ScoringConfig
from data.curation.scorer import Clip, score_clip, score_header
from data.curation.store import ScoreStore
from data.worker_pool import run_units, worker_pool
from src.core.media_io.errors import MediaError


@dataclass(frozen=True)
class Job:
    """A clip with its key; `decode` False reads its header only."""

    key: str
    clip: Clip
    decode: bool = True


@dataclass(frozen=True)
class Unit:
    """Clips that are scored and written together."""

    root: Path
    folder: Path
    jobs: tuple[Job, ...]
    config: ScoringConfig


def score_unit(unit: Unit) -> int:
    """Write the scores of a unit's clips; return their number."""
    ScoreStore(unit.folder).add([score_job(unit.root, job, unit.config) for job in unit.jobs])
    return len(unit.jobs)


def score_job(root: Path, job: Job, config: ScoringConfig) -> dict[str, Any]:
    """Return the row of a clip; a file that cannot be used gets a row with the reason."""
    row = _empty_row(job)
    try:
        found = score_clip(root, job.clip, config) if job.decode else score_header(root, job.clip)
        return row | found | {"decoded": job.decode}
    except MediaError as error:
        return row | {"error": error.reason, "detail": error.detail}
    except cv2.error as error:
        return row | {"error": "cannot be measured", "detail": " ".join(str(error).split())[:200]}


def _empty_row(job: Job) -> dict[str, Any]:
    clip = job.clip
    row = {"key": job.key, "id": clip.id, "path": clip.path, "start_s": clip.start_s, "end_s": clip.end_s}
    return row | {"decoded": False, "error": None, "detail": None}


def score_units(units: list[Unit], num_workers: int, done: Callable[[int], None]) -> None:
    """Score all units with `num_workers` processes (0: in this one); call `done(n)` after each."""
    if num_workers == 0:
        for unit in units:
            done(score_unit(unit))
        return
    waiting = list(units)
    while waiting:
        with _pool(num_workers) as pool:
            suspects, waiting = run_units(pool, score_unit, waiting, num_workers, done)
        for unit in suspects:
            _run_one_by_one(unit)
            done(len(unit.jobs))


def _pool(num_workers: int) -> AbstractContextManager[ProcessPoolExecutor]:
    return worker_pool(num_workers, "data.curation.workers", limit_threads)


def _run_one_by_one(unit: Unit) -> None:
    """Score each clip in a process of its own; one that kills it gets a row with that reason."""
    rows = []
    for job in unit.jobs:
        with _pool(1) as pool:
            try:
                rows.append(pool.submit(score_job, unit.root, job, unit.config).result())
            except BrokenProcessPool:
                rows.append(crashed_row(job))
    ScoreStore(unit.folder).add(rows)


def crashed_row(job: Job) -> dict[str, Any]:
    """Return the row of a clip that killed its process."""
    return _empty_row(job) | {"error": "decoder crashed", "detail": "the process died while decoding"}


def limit_threads() -> None:
    """Use one thread: processes are the parallelism."""
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
