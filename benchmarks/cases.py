"""One case of a benchmark in a process of its own, and many of them interleaved.

A process measures once: its peak of memory is a high-water mark. One thread and CPU time, since wall clock on
a shared machine says more about the neighbours; the least of several repetitions and of several processes,
which are run in turn (A B C A B C), so that a slow spell of the machine meets all of them.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.record import Numbers, Record
from src.core.errors import UserError


def cpu_seconds(call: Callable[[], Any], repeats: int, warm_ups: int = 2) -> float:
    """Least CPU time of a call in this process."""
    found: list[float] = []
    for number in range(warm_ups + repeats):
        started = time.process_time()
        call()
        if number >= warm_ups:
            found.append(time.process_time() - started)
    return min(found)


def check_turns(repeats: int) -> None:
    """What `in_turn` can make.

    Raises:
        ValueError: fewer than 2.
    """
    if repeats < 2:
        raise ValueError(f"repeats: the first turn warms up, so at least 2, got {repeats}")


def in_turn(calls: dict[str, Callable[[], Any]], turns: int, budget: float) -> dict[str, float]:
    """Least CPU time of each of several calls in this process, over turns in which each is made once.

    A turn takes seconds, so that a slow spell of the machine meets all of them: in processes of their own,
    minutes apart, one and the same call took up to 40 % longer.

    Args:
        turns: at least 2, since the first warms up.
        budget: CPU seconds after which there is no further turn; two are always made.
    """
    found: dict[str, float] = {}
    begun = time.process_time()
    for turn in range(turns):
        if turn > 1 and time.process_time() - begun > budget:
            break
        for name, call in calls.items():
            seconds = cpu_seconds(call, 1, warm_ups=0)
            found[name] = min(found.get(name, seconds), seconds)
    return found


def peak_mib() -> float:
    """The most memory this process has had so far (Linux counts in KiB, macOS in bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def interleaved(
    module: str, cases: list[str], words: list[str], rounds: int, record: Record | None = None
) -> dict[str, Numbers]:
    """Run `python -m module words... case=CASE` for all cases, `rounds` times in turn.

    Args:
        record: where each process's numbers go; what it holds already is not measured again.

    Returns:
        By case: the least of every number in the JSON line that it prints last; other values as they are.
    """
    record = record or Record()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    for number in range(rounds):
        for case in cases:
            if len(record.runs.get(case, ())) > number:
                continue
            print(f"round {number + 1} of {rounds}: {case}", file=sys.stderr)
            command = [sys.executable, "-m", module, *words, f"case={case}"]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
            if done.returncode:
                raise UserError(f"case {case} ended with exit code {done.returncode}; see above")
            record.add(case, json.loads(done.stdout.splitlines()[-1]))
    return {case: numbers for case, numbers in record.least().items() if case in cases}
