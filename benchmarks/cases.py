"""Measure CPU time and peak memory of the cases of a benchmark, in processes of their own, interleaved.

Peak memory is a high-water mark, so each process measures one case. Times are CPU time of one thread, as wall
clock depends on the load of a shared machine: the minimum over repetitions and over processes, which are
interleaved (A B C A B C), so that a slow phase of the machine affects all cases.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.record import BenchmarkRecord, Numbers
from src.core.errors import UserError

STATUS = Path("/proc/self/status")


def cpu_seconds(call: Callable[[], Any], repeats: int, warm_ups: int = 2) -> float:
    """Return the minimum CPU time of a call in this process."""
    times: list[float] = []
    for index in range(warm_ups + repeats):
        started = time.process_time()
        call()
        if index >= warm_ups:
            times.append(time.process_time() - started)
    return min(times)


def min_seconds(calls: dict[str, Callable[[], Any]], rounds: int, budget: float) -> dict[str, float]:
    """Return the minimum CPU time of each of several calls, over rounds in which each is called once.

    A round takes seconds, so that a slow phase of the machine affects all calls: in separate processes,
    minutes apart, the same call took up to 40 % longer.

    Args:
        rounds: at least 2, since the first warms up.
        budget: CPU seconds after which no further round starts; there are always two.
    """
    results: dict[str, float] = {}
    started = time.process_time()
    for index in range(rounds):
        if index > 1 and time.process_time() - started > budget:
            break
        for name, call in calls.items():
            seconds = cpu_seconds(call, 1, warm_ups=0)
            results[name] = min(results.get(name, seconds), seconds)
    return results


def peak_mib() -> float:
    """Return the peak memory of this process so far, in MiB."""
    if STATUS.exists():  # ru_maxrss would start at the peak of the parent process
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def reset_peak() -> None:
    """Reset `peak_mib` to the memory in use, where the system can (Linux)."""
    if STATUS.exists():
        (STATUS.parent / "clear_refs").write_text("5")  # proc(5): resets VmHWM


def run_interleaved(
    module: str, cases: list[str], argv: list[str], rounds: int, record: BenchmarkRecord | None = None
) -> dict[str, Numbers]:
    """Run `python -m module argv... case=CASE` for all cases, `rounds` times, interleaved.

    Args:
        record: receives the numbers of each process; finished cases are not measured again.

    Returns:
        By case, the minimum of every float in the JSON line that its processes print last; other values are
        those of the first process.

    Raises:
        UserError: a process failed.
    """
    record = record or BenchmarkRecord()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    for index in range(rounds):
        for case in cases:
            if len(record.runs.get(case, ())) > index:
                continue
            print(f"round {index + 1} of {rounds}: {case}", file=sys.stderr)
            command = [sys.executable, "-m", module, *argv, f"case={case}"]
            process = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
            if process.returncode:
                raise UserError(f"case {case} failed with exit code {process.returncode} (see above)")
            record.add(case, json.loads(process.stdout.splitlines()[-1]))
    return {case: numbers for case, numbers in record.minimum().items() if case in cases}
