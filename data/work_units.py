"""Doing the parts of a preparation in processes: with progress, and surviving a decoder that crashes.

A part is a slice of a source's inputs. Its result depends on nothing but these, so the data set is
the same for any number of processes and after any interruption.
"""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from src.core.process_guard import ExitWithParent, ParentWatchdog
from src.streaming.schema.part_writer import Rejection, write_part
from src.streaming.schema.records import PixelRecord

Input = dict[str, Any]


class RecordSource(Protocol):
    """Where records come from. Must be picklable; `records` runs in worker processes."""

    def splits(self) -> dict[str, list[Input]]:
        """The inputs of each split ("train", "val"), as plain JSON values in a fixed order."""
        ...

    def records(self, item: Input) -> Iterator[PixelRecord | Rejection]:
        """What one input gives: records, and a rejection for whatever cannot be used."""
        ...

    def version(self) -> dict[str, Any]:
        """Everything besides the inputs that the records depend on, as plain JSON values."""
        ...

    def name(self, item: Input) -> str:
        """How an input is called in rejected.jsonl."""
        ...

    def unit_size(self, item: Input) -> int:
        """How many inputs like this one make a good unit of work: seconds of work, a chunk of records."""
        ...


def split_inputs(source: RecordSource, items: list[Input], size: int = 0) -> list[tuple[Input, ...]]:
    """Slice the inputs into units of work: `size` inputs each, or as the source says where it is 0."""
    parts: list[list[Input]] = [[]]
    filled = 0.0
    for item in items:
        if filled > 1 - 1e-9:
            parts.append([])
            filled = 0.0
        parts[-1].append(item)
        filled += 1 / (size or source.unit_size(item))
    return [tuple(part) for part in parts]


@dataclass(frozen=True)
class WorkUnit:
    """One unit of work. Inputs numbered in `crashed` killed a worker before and are only reported."""

    root: Path
    number: int
    items: tuple[Input, ...]
    chunk_bytes: int
    failed_inputs: frozenset[int] = field(default=frozenset())

    @property
    def marker(self) -> Path:
        """Names the input that is being worked on: the guilty one if the process dies."""
        return self.root / ".parts" / f"working-{self.number:06d}"


def process_unit(source: RecordSource, part: WorkUnit) -> int:
    """Write one part; returns how many inputs it had."""
    with write_part(part.root, part.number, part.chunk_bytes) as writer:
        for i, item in enumerate(part.items):
            if i in part.failed_inputs:
                writer.reject(
                    Rejection(source.name(item), "decoder crashed", "the process died while decoding")
                )
                continue
            part.marker.write_text(str(i))
            for result in source.records(item):
                if isinstance(result, Rejection):
                    writer.reject(result)
                else:
                    writer.add(result)
    part.marker.unlink(missing_ok=True)
    return len(part.items)


def process_units(
    source: RecordSource, parts: list[WorkUnit], workers: int, done: Callable[[int], None]
) -> None:
    """Do all parts with `workers` processes (0: here); `done(n)` is called for each part of n inputs."""
    if workers == 0:
        for part in parts:
            done(process_unit(source, part))
        return
    suspects = _run_pool(source, parts, workers, done)
    for part in suspects:
        done(_run_alone(source, part))


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    # forkserver: no copies of this process's threads, and modules are imported once for all workers
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["data.build"])
    watchdog = ParentWatchdog(context)
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=_begin_worker, initargs=(watchdog.exit_with_parent,)
    ) as pool:
        yield pool


def _begin_worker(exit_with_parent: ExitWithParent) -> None:
    """One torch thread for each worker; Ctrl-C is the parent's business; an orphan ends itself."""
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    exit_with_parent()


def _run_pool(
    source: RecordSource, parts: list[WorkUnit], workers: int, done: Callable[[int], None]
) -> list[WorkUnit]:
    """Do parts in parallel. If a worker dies, return those that were not finished."""
    waiting = list(reversed(parts))
    running: dict[Future[int], WorkUnit] = {}
    with _pool(workers) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < 2 * workers:
                    part = waiting.pop()
                    running[pool.submit(process_unit, source, part)] = part
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    done(future.result())
                    del running[future]
        except BrokenProcessPool:
            return sorted([*running.values(), *waiting], key=lambda p: p.number)
        except BaseException:
            for process in list(pool._processes.values()):  # parts are whole or not there: nothing breaks
                process.terminate()
            raise
    return []


def _run_alone(source: RecordSource, part: WorkUnit) -> int:
    """Do one part in a process of its own; an input that kills it is reported and left out."""
    while True:
        part.marker.unlink(missing_ok=True)
        with _pool(1) as pool:
            try:
                return pool.submit(process_unit, source, part).result()
            except BrokenProcessPool:
                if not part.marker.exists():
                    raise
                guilty = frozenset([int(part.marker.read_text())])
                part = WorkUnit(
                    part.root, part.number, part.items, part.chunk_bytes, part.failed_inputs | guilty
                )
