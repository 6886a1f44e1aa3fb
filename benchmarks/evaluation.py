"""Compare our Frechet distance, KID and precision/recall with other libraries.

`python -m benchmarks.evaluation` computes each metric from the same float32 features [n, d] in memory and
measures CPU seconds of one thread and peak memory above the features. All libraries must agree with ours
within a tolerance. `kid` is over all pairs, a single full subset in the libraries; `kid_subsets` compares it
with their default, a mean over 100 random subsets of 1,000 rows, which estimates it. Finished cases are kept
in `out`. Needs `pip install clean-fid torch-fidelity`.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.cases import cpu_seconds, peak_mib, reset_peak, run_interleaved
from benchmarks.evaluation_libraries import METRICS, OURS, Features, Values
from benchmarks.record import BenchmarkRecord, Numbers
from src.core import cli, config
from src.core.errors import UserError
from src.core.fields import Config, opt

CASES = tuple(f"{metric}/{library}" for metric, calls in METRICS.items() for library in calls)
TOLERANCE = {"frechet": 1e-5, "kid": 1e-5, "precision_recall": 1e-3}  # relative; absolute for fractions
GOAL = 3.0  # speedup over the fastest library


@dataclass(frozen=True, kw_only=True)
class EvaluationBenchConfig(Config):
    """Metrics, sizes and repetitions."""

    case: str = opt("", f"run one case in this process; empty: all, interleaved ({', '.join(CASES)})")
    metrics: tuple[str, ...] = opt(tuple(METRICS), f"some of {', '.join(METRICS)}")
    rows: int = opt(10_000, "number of features in each set", ge=1)
    dims: int = opt(2048, "feature dimension", ge=1)
    repeats: int = opt(2, "repetitions per process, of which the minimum counts", ge=1)
    rounds: int = opt(2, "processes per case", ge=1)
    out: str = opt("runs/bench_eval.json", "results file; the table is written next to it as .md")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.case and self.case not in CASES:
            raise ValueError(f"case must be one of {', '.join(CASES)}, got {self.case!r}")
        for metric in self.metrics:
            if metric not in METRICS:
                raise ValueError(f"metrics must be of {', '.join(METRICS)}, got {metric!r}")
        if self.rows <= self.dims:
            raise ValueError(
                f"rows must be more than dims={self.dims}, for covariances of full rank, got {self.rows}"
            )


def make_features(rows: int, dims: int) -> Features:
    """Return two sets of positive, correlated features with a decaying spectrum, like pooled activations."""
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((dims, dims)) * (np.arange(1, dims + 1) ** -0.5)[:, None]
    sets = []
    for shift in (0.0, 0.5):
        normal = rng.standard_normal((rows, dims), dtype=np.float32) @ mix.astype(np.float32)
        sets.append(np.abs(0.2 * normal + shift))
    return sets[0], sets[1]


def measure(settings: EvaluationBenchConfig) -> Numbers:
    """Return the seconds, MiB above the features, and result of one case."""
    torch.set_num_threads(1)
    metric, library = settings.case.split("/")
    call, (x, y) = METRICS[metric][library], make_features(settings.rows, settings.dims)
    call(*make_features(1024, 16))  # imports the library
    reset_peak()
    loaded = peak_mib()
    values: list[Values] = []
    seconds = cpu_seconds(lambda: values.append(call(x, y)), settings.repeats, warm_ups=0)
    return {"seconds": seconds, "mib": peak_mib() - loaded, "values": values[0]}


def check_equal(metric: str, results: dict[str, Numbers]) -> None:
    """Check that every library agrees with ours.

    Raises:
        UserError: a result differs by more than the tolerance.
    """
    ours = results[OURS]["values"]
    error = max(numbers["values"].get("error", 0.0) for numbers in results.values())
    for library, numbers in results.items():
        for name, value in numbers["values"].items():
            if name not in ours:
                continue
            if metric == "kid_subsets":  # theirs depend on random subsets
                allowed = 5 * error
            else:
                allowed = TOLERANCE[metric] * (1 if metric == "precision_recall" else abs(ours[name]))
            if not abs(value - ours[name]) <= allowed:
                raise UserError(
                    f"{metric}: {name} of {library} is {value!r}, ours is {ours[name]!r}, "
                    f"which differ by more than {allowed:.2g}"
                )


def format_markdown(record: BenchmarkRecord) -> str:
    """Return the table of all cases in the record."""
    minimum, lines = record.minimum(), []
    rows, dims = (record.fixed["settings"][key] for key in ("rows", "dims"))
    versions = ", ".join(f"{name} {version}" for name, version in record.fixed["versions"].items())
    lines.append(f"Two sets of {rows:,} x {dims:,} float32; CPU time of one thread; {versions}.\n")
    lines.append("| metric | library | seconds | ratio to ours | MiB above the features | result |")
    lines.append("|---|---|---|---|---|---|")
    for metric in METRICS:
        found = {case.split("/")[1]: n for case, n in minimum.items() if case.split("/")[0] == metric}
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
    """Print one case as a line of JSON, or measure all of them, interleaved, into a file and a table."""
    settings = config.from_command_line(EvaluationBenchConfig, argv, __doc__)
    if settings is None:
        return
    if settings.case:
        print(json.dumps(measure(settings)))
        return
    fixed = {key: getattr(settings, key) for key in ("rows", "dims", "repeats")}
    packages = ("numpy", "scipy", "clean-fid", "torch-fidelity", "torchmetrics")
    record = BenchmarkRecord.open(settings.out, fixed, packages)
    path = Path(settings.out).with_suffix(".md")
    for metric in settings.metrics:
        cases = [f"{metric}/{library}" for library in METRICS[metric]]
        results = run_interleaved("benchmarks.evaluation", cases, argv, settings.rounds, record)
        check_equal(metric, {case.split("/")[1]: numbers for case, numbers in results.items()})
        path.write_text(format_markdown(record), encoding="utf-8")
    print(format_markdown(record))
    print(f"results: {settings.out}, table: {path}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
