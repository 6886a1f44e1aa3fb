"""Score a manifest: every sample is read once, in any number of processes, in the manifest's order."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from eval.core.journal import Journal
from eval.core.manifest import Sample
from eval.core.results import Metric, Record
from eval.measurement import measure_sample
from src.core.process_guard import ParentWatchdog

_worker: tuple[list[Metric], Path, Journal] | None = None


def score_samples(
    samples: Iterable[Sample], root: Path, metrics: list[Metric], num_workers: int, journal: Path
) -> Iterator[list[Record]]:
    """Yield the records of each sample, in the order of the samples for any number of workers.

    Args:
        root: folder of the samples' media.
        journal: folder of the measurements, where those of an interrupted run are found.

    Raises:
        ValueError: a worker process was killed.
    """
    if not num_workers:
        with closing(Journal(journal)) as found:
            for sample in samples:
                yield measure_sample(sample, root=root, metrics=metrics, journal=found)
        return
    context = get_context("spawn")
    watchdog, stream = ParentWatchdog(context), iter(samples)
    arguments = watchdog.exit_with_parent, metrics, root, journal
    with ProcessPoolExecutor(num_workers, context, _start_worker, arguments) as pool:
        try:
            while block := list(islice(stream, 64 * num_workers)):
                yield from pool.map(_measure_in_worker, block, chunksize=8)
        except BrokenProcessPool:
            raise ValueError(
                "a worker process was killed (out of memory?); the same command resumes where it stopped, "
                "with num_workers=0 in one process"
            ) from None


def _start_worker(
    exit_with_parent: Callable[[], None], metrics: list[Metric], root: Path, journal: Path
) -> None:
    """Keep the metrics in the process, so that networks are loaded once and not for each sample."""
    global _worker
    exit_with_parent()
    _worker = metrics, root, Journal(journal)


def _measure_in_worker(sample: Sample) -> list[Record]:
    assert _worker is not None
    return measure_sample(sample, root=_worker[1], metrics=_worker[0], journal=_worker[2])
