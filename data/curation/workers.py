"""Score clips in parallel processes; an interruption loses the units in progress, a crash one clip."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from data.curation.config import ScoringConfig
from data.curation.scorer import Clip, score_clip, score_header
from data.curation.store import ScoreStore
from src.core.media_io.errors import MediaError
from src.core.process_guard import ExitWithParent, ParentWatchdog


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
        suspects, waiting = _run_pool(waiting, num_workers, done)
        for unit in suspects:
            _run_one_by_one(unit)
            done(len(unit.jobs))


@contextmanager
def _pool(num_workers: int) -> Iterator[ProcessPoolExecutor]:
    # forkserver: no copies of this process's threads, and modules are imported once for all workers
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["data.curation.workers"])
    watchdog = ParentWatchdog(context)
    with ProcessPoolExecutor(
        num_workers, mp_context=context, initializer=_begin_worker, initargs=(watchdog.exit_with_parent,)
    ) as pool:
        yield pool


def _begin_worker(exit_with_parent: ExitWithParent) -> None:
    """Use one thread; leave Ctrl-C to the parent; exit if the parent dies."""
    limit_threads()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    exit_with_parent()


def _run_pool(
    units: list[Unit], num_workers: int, done: Callable[[int], None]
) -> tuple[list[Unit], list[Unit]]:
    """Score units in parallel. If a worker dies, return those in progress and those not begun."""
    waiting, running = list(reversed(units)), dict[Future[int], Unit]()
    with _pool(num_workers) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < 2 * num_workers:
                    unit = waiting.pop()
                    running[pool.submit(score_unit, unit)] = unit
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    done(future.result())
                    del running[future]
        except BrokenProcessPool:
            return list(running.values()), list(reversed(waiting))
        except BaseException:
            for process in list(pool._processes.values()):  # files are written atomically
                process.terminate()
            raise
    return [], []


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
