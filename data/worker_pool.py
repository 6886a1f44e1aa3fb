"""Pools of worker processes: one thread each, gone with their parent; a crash loses only what was running."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from src.core.process_guard import ExitWithParent, ParentWatchdog

Unit = TypeVar("Unit")


@contextmanager
def worker_pool(
    num_workers: int, preloaded: str, limit_threads: Callable[[], None]
) -> Iterator[ProcessPoolExecutor]:
    """Open a pool; every process begins with `limit_threads`.

    Args:
        preloaded: module that is imported once for all processes.
    """
    # forkserver: no copies of this process's threads, and modules are imported once for all workers
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preloaded])
    watchdog = ParentWatchdog(context)
    arguments = (watchdog.exit_with_parent, limit_threads)
    with ProcessPoolExecutor(
        num_workers, mp_context=context, initializer=_begin_worker, initargs=arguments
    ) as pool:
        yield pool


def _begin_worker(exit_with_parent: ExitWithParent, limit_threads: Callable[[], None]) -> None:
    """Limit threads; leave Ctrl-C to the parent; exit if the parent dies."""
    limit_threads()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    exit_with_parent()


def run_units(
    pool: ProcessPoolExecutor,
    call: Callable[[Unit], int],
    units: list[Unit],
    num_workers: int,
    done: Callable[[int], None],
) -> tuple[list[Unit], list[Unit]]:
    """Run `call` for each unit, in order, and pass its number of inputs to `done`.

    Returns:
        If a worker dies, the units in progress and those not begun; else two empty lists.
    """
    waiting, running = list(reversed(units)), dict[Future[int], Unit]()
    try:
        while waiting or running:
            while waiting and len(running) < 2 * num_workers:
                unit = waiting.pop()
                running[pool.submit(call, unit)] = unit
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                done(future.result())
                del running[future]
    except BrokenProcessPool:
        return list(running.values()), list(reversed(waiting))
    except BaseException:
        for process in list(pool._processes.values()):  # units are written atomically
            process.terminate()
        raise
    return [], []
