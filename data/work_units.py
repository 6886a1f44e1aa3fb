"""Process the work units of a preparation in parallel, and survive a decoder that crashes.

A work unit is a slice of a source's inputs. Its result depends on these alone, so the data set is the
same for any number of processes and after any interruption.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from data.worker_pool import run_units, worker_pool
from src.streaming.schema.dataset_index import PARTS
from src.streaming.schema.part_writer import Rejection, write_part
from src.streaming.schema.records import ClipRecord

Input = dict[str, Any]


class RecordSource(Protocol):
    """Source of records. Must be picklable; `records` runs in worker processes."""

    def splits(self) -> dict[str, list[Input]]:
        """Return the inputs of each split ("train", "val"), as plain JSON values in a fixed order."""
        ...

    def notes(self) -> list[str]:
        """Return what the user should know about the list of inputs; call `splits` first."""
        ...

    def records(self, item: Input) -> Iterator[ClipRecord | Rejection]:
        """Yield the records of one input, and a rejection for each part that cannot be used."""
        ...

    def version(self) -> dict[str, Any]:
        """Return everything besides the inputs that the records depend on, as plain JSON values."""
        ...

    def name(self, item: Input) -> str:
        """Return the name of an input in rejected.jsonl."""
        ...

    def unit_size(self, item: Input) -> int:
        """Return how many inputs like this one make a work unit: seconds of work, a chunk of records."""
        ...


def split_inputs(source: RecordSource, items: list[Input], size: int = 0) -> list[tuple[Input, ...]]:
    """Slice the inputs into work units of `size` inputs each; 0 asks the source."""
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
    """A slice of the inputs; those numbered in `failed_inputs` killed a worker and are only reported.

    With `dry_run` the chunks are removed as soon as their part is described.
    """

    root: Path
    number: int
    items: tuple[Input, ...]
    chunk_bytes: int
    dry_run: bool = False
    failed_inputs: frozenset[int] = field(default=frozenset())

    @property
    def marker(self) -> Path:
        """File that holds the number of the current input: the one to blame if the process dies."""
        return self.root / PARTS / f"working-{self.number:06d}"


def process_unit(source: RecordSource, unit: WorkUnit) -> int:
    """Write the records of one work unit; return its number of inputs."""
    with write_part(unit.root, unit.number, unit.chunk_bytes) as writer:
        for i, item in enumerate(unit.items):
            if i in unit.failed_inputs:
                writer.reject(
                    Rejection(source.name(item), "decoder crashed", "the process died while decoding")
                )
                continue
            unit.marker.write_text(str(i))
            for result in source.records(item):
                if isinstance(result, Rejection):
                    writer.reject(result)
                else:
                    writer.add(result)
    if unit.dry_run:
        for chunk in (unit.root / PARTS / f"{unit.number:06d}").glob("*/*.bin"):
            chunk.unlink()
    unit.marker.unlink(missing_ok=True)
    return len(unit.items)


def process_units(
    source: RecordSource, units: list[WorkUnit], num_workers: int, done: Callable[[int], None]
) -> None:
    """Process all units with `workers` processes (0: in this one); call `done(n)` after each, of n inputs."""
    if num_workers == 0:
        for unit in units:
            done(process_unit(source, unit))
        return
    for unit in _run_pool(source, units, num_workers, done):
        done(_run_alone(source, unit))


def _pool(num_workers: int) -> AbstractContextManager[ProcessPoolExecutor]:
    return worker_pool(num_workers, "data.build", limit_threads)


def limit_threads() -> None:
    """Use one torch thread: processes are the parallelism."""
    import torch

    torch.set_num_threads(1)


def _run_pool(
    source: RecordSource, units: list[WorkUnit], num_workers: int, done: Callable[[int], None]
) -> list[WorkUnit]:
    """Process units in parallel. If a worker dies, return those that were not finished."""
    with _pool(num_workers) as pool:
        running, waiting = run_units(pool, partial(process_unit, source), units, num_workers, done)
    return sorted([*running, *waiting], key=lambda unit: unit.number)


def _run_alone(source: RecordSource, unit: WorkUnit) -> int:
    """Process one unit in a process of its own; an input that kills it is rejected."""
    while True:
        unit.marker.unlink(missing_ok=True)
        with _pool(1) as pool:
            try:
                return pool.submit(process_unit, source, unit).result()
            except BrokenProcessPool:
                if not unit.marker.exists():
                    raise
                failed = frozenset([int(unit.marker.read_text())])
                unit = replace(unit, failed_inputs=unit.failed_inputs | failed)
