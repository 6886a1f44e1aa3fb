"""Tasks on a Ray cluster, a few at a time; those whose worker or node dies are submitted again.

Ray is an optional package (requirements/cluster.lock). Tasks read and write files: the checkout, the inputs
and the output folder must be at the same paths on all nodes.
"""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from src.core.errors import UserError

Task = TypeVar("Task")
Result = TypeVar("Result")
IN_FLIGHT = 2  # tasks submitted for each CPU: one runs, one waits


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    address: str,
    retry: Callable[[Task], list[Task]],
    done: Callable[[Result], None],
) -> None:
    """Call `function` for each task on one CPU of the cluster; call `done` with each result as it comes.

    Tasks run in this process's current folder, so that relative paths mean the same.

    Args:
        function: module-level function that publishes its files in one step: a lost task is repeated.
        address: of the cluster; empty takes RAY_ADDRESS, or else starts one on this machine.
        retry: returns what to submit in place of a task whose worker or node died, or raises.

    Raises:
        UserError: Ray is not installed, or no cluster at the address.
        Exception: as `function`; the other tasks are cancelled.
    """
    waiting = deque(tasks)
    with _cluster(address) as ray:
        remote = ray.remote(_call_in_folder).options(num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")
        running: dict[Any, Task] = {}
        while waiting or running:
            limit = IN_FLIGHT * max(1, int(ray.cluster_resources().get("CPU", 1)))
            while waiting and len(running) < limit:
                task = waiting.popleft()
                running[remote.remote(os.getcwd(), function, task)] = task
            ready, _ = ray.wait(list(running), num_returns=1, timeout=10.0)
            for reference in ready:
                task = running.pop(reference)
                try:
                    done(ray.get(reference))
                except ray.exceptions.RayTaskError as error:
                    raise (error.cause or error) from error
                except ray.exceptions.LocalRayletDiedError:
                    message = "the Ray node that this command is connected to died; re-run it to resume"
                    raise UserError(message) from None
                except ray.exceptions.RayError:  # the worker, or the node with it
                    waiting.extend(retry(task))


def _call_in_folder(folder: str, function: Callable[[Task], Result], task: Task) -> Result:
    os.chdir(folder)
    return function(task)


@contextmanager
def _cluster(address: str) -> Iterator[Any]:
    """Connect to a cluster, and disconnect; one that was started here ends with it."""
    try:
        import ray
    except ImportError:
        raise UserError("engine=ray needs Ray: pip install -r requirements/cluster.lock") from None
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address or None, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        message = " ".join(str(error).split())[:200]
        raise UserError(f"ray_address={address!r}: no cluster there: {message}") from None
    try:
        yield ray
    finally:
        ray.shutdown()
        signal.signal(signal.SIGTERM, handler)
