"""Our Frechet distance, KID and precision/recall beside other libraries': `python -m benchmarks.evaluation`.

From the same float32 features [n, d] in memory to the number: CPU seconds of one thread, and peak memory
above the features. Every library must give our result within a stated tolerance. `kid` is over all pairs, one
subset of everything in the libraries; `kid_subsets` sets the same number of ours beside what they do by
default: a mean over 100 random subsets of 1,000 rows, which estimates it. Finished cases are kept in `out`.
Needs `pip install clean-fid torch-fidelity`.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.cases import cpu_seconds, interleaved, peak_mib
from benchmarks.evaluation_libraries import METRICS, OURS, Features, Values
from benchmarks.record import Numbers, Record
from src.core import cli, config
from src.core.errors import UserError
from src.core.fields import opt

CASES = tuple(f"{metric}/{library}" for metric, calls in METRICS.items() for library in calls)
TOLERANCE = {"frechet": 1e-5, "kid": 1e-5, "precision_recall": 1e-3}  # relative; of shares: absolute
GOAL = 3.0  # times the fastest library


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """What is measured, and how often."""

    case: str = opt("", f"one case in this process; empty: all, interleaved ({', '.join(CASES)})")
    metrics: tuple[str, ...] = opt(tuple(METRICS), f"some of {', '.join(METRICS)}")
    rows: int = opt(10_000, "rows of each set")
    dims: int = opt(2048, "numbers in a row")
    repeats: int = opt(2, "repetitions in a process, of which the least counts")
    rounds: int = opt(2, "processes for each case")
    out: str = opt("runs/bench_eval.json", "where the numbers go; the table goes beside it as .md")

    def __post_init__(self) -> None:
        if self.case and self.case not in CASES:
            raise ValueError(f"case: {self.case!r} is none of {', '.join(CASES)}")
        for metric in self.metrics:
            if metric not in METRICS:
                raise ValueError(f"metrics: {metric!r} is none of {', '.join(METRICS)}")
        if self.rows <= self.dims:
            raise ValueError(f"rows: {self.rows} must be more than dims={self.dims}: full rank is compared")


def features(rows: int, dims: int) -> Features:
    """Two sets of positive, correlated features with a spectrum that falls, as pooled activations have."""
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((dims, dims)) * (np.arange(1, dims + 1) ** -0.5)[:, None]
    sets = []
    for shift in (0.0, 0.5):
        drawn = rng.standard_normal((rows, dims), dtype=np.float32) @ mix.astype(np.float32)
        sets.append(np.abs(0.2 * drawn + shift))
    return sets[0], sets[1]


def measure(settings: BenchConfig) -> Numbers:
    """Numbers of one case: seconds, MiB above the features, and the result."""
    torch.set_num_threads(1)
    metric, library = settings.case.split("/")
    call, (x, y) = METRICS[metric][library], features(settings.rows, settings.dims)
    call(*features(1024, 16))  # imports
    loaded = peak_mib()
    values: list[Values] = []
    seconds = cpu_seconds(lambda: values.append(call(x, y)), settings.repeats, warm_ups=0)
    return {"seconds": seconds, "mib": peak_mib() - loaded, "values": values[0]}


def check_equal(metric: str, found: dict[str, Numbers]) -> None:
    """Every library must give our result.

    Raises:
        UserError: one does not, within the tolerance.
    """
    ours = found[OURS]["values"]
    error = max(numbers["values"].get("error", 0.0) for numbers in found.values())
    for library, numbers in found.items():
        for name, value in numbers["values"].items():
            if name not in ours:
                continue
            if metric == "kid_subsets":  # theirs vary with their draws
                allowed = 5 * error
            else:
                allowed = TOLERANCE[metric] * (1 if metric == "precision_recall" else abs(ours[name]))
            if not abs(value - ours[name]) <= allowed:
                raise UserError(
                    f"{metric}: {library} gives {name} {value!r}, ours is {ours[name]!r}: "
                    f"more than {allowed:.2g} apart"
                )


def markdown(record: Record) -> str:
    """A table of what the record holds so far."""
    least, lines = record.least(), []
    rows, dims = (record.fixed["settings"][key] for key in ("rows", "dims"))
    versions = ", ".join(f"{name} {version}" for name, version in record.fixed["versions"].items())
    lines.append(f"Two sets of {rows:,} x {dims:,} float32; CPU time of one thread; {versions}.\n")
    lines.append("| metric | library | seconds | ratio to ours | MiB above the features | result |")
    lines.append("|---|---|---|---|---|---|")
    for metric in METRICS:
        found = {case.split("/")[1]: n for case, n in least.items() if case.split("/")[0] == metric}
        if OURS not in found:
            continue
        for library, n in found.items():
            ratio = n["seconds"] / found[OURS]["seconds"]
            result = ", ".join(f"{name} {value:.9g}" for name, value in n["values"].items())
            lines.append(
                f"| {metric} | {library} | {n['seconds']:.2f} | {ratio:.2f}x | {n['mib']:,.0f} | {result} |"
            )
        if len(found) > 1:
            fastest = min(n["seconds"] for library, n in found.items() if library != OURS)
            times = fastest / found[OURS]["seconds"]
            met = "met" if times >= GOAL else "not met"
            lines.append(f"| {metric} | goal: {GOAL:g}x the fastest | | {times:.2f}x: {met} | | |")
    return "\n".join([*lines, ""])


def main(argv: list[str]) -> None:
    """One case as a line of JSON, or metric by metric all of them, interleaved, as a file and a table."""
    settings = config.from_command_line(BenchConfig, argv, __doc__)
    if settings is None:
        return
    if settings.case:
        print(json.dumps(measure(settings)))
        return
    fixed = {key: getattr(settings, key) for key in ("rows", "dims", "repeats")}
    packages = ("numpy", "scipy", "clean-fid", "torch-fidelity", "torchmetrics")
    record = Record.open(settings.out, fixed, packages)
    path = Path(settings.out).with_suffix(".md")
    for metric in settings.metrics:
        cases = [f"{metric}/{library}" for library in METRICS[metric]]
        found = interleaved("benchmarks.evaluation", cases, argv, settings.rounds, record)
        check_equal(metric, {case.split("/")[1]: numbers for case, numbers in found.items()})
        path.write_text(markdown(record), encoding="utf-8")
    print(markdown(record))
    print(f"numbers: {settings.out}, this table: {path}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
