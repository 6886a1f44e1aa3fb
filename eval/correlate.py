"""Correlate metrics with the exact checker: `python -m eval.correlate 'runs=[DIR,...]' out=FOLDER`.

Each DIR is the `out` of an `eval.run` that measured `bounce` (or another checker) and other metrics. Of all
their samples together, each value is correlated with whether the checker found everything right: Spearman's
correlation of ranks, and how often of a right and a wrong video the right one has the better value.
Intervals (95 %) draw ids, with the videos of all systems. `agreement=FOLDER` adds the pairwise accuracy on
people's votes that `eval.human.agreement` wrote there. Writes correlation.md, .csv and .html.
`eval.sanity.degraded` writes degraded videos to begin with.
"""

import csv
import json
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.catalog import axis_of
from eval.core.clusters import bootstrap_counts, group_codes
from eval.core.intervals import MIN_UNITS, Array, Interval, percentile_bounds
from eval.core.results import Score
from eval.core.scored_runs import ScoredSystem, read_scored_runs
from eval.reports.correlation import Correlation, correlation_page, tables_by_axis
from src.core.atomic import atomic_write
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import Config, opt
from src.core.markdown import markdown_table

NUM_RESAMPLES = 500
MIN_DEFINED = 0.5  # fraction of resamples in which a statistic must be defined to have an interval
HEADS = ("axis", "sub_axis", "metric", "score", "measure", "value", "low", "high", "num_videos", "num_ids")


@dataclass(frozen=True, kw_only=True)
class CorrelateConfig(Config):
    """Settings of `eval.correlate`."""

    runs: tuple[str, ...] = opt((), "folders written by eval.run")
    out: str = opt("???", "folder of the page and tables")
    truth: tuple[str, ...] = opt(("subject", "motion"), "values of the checker that must all be right")
    checker: str = opt("bounce", "the metric that is taken for the truth")
    agreement: str = opt("", "folder written by eval.human.agreement; empty: no votes")
    seed: int = opt(0, "seed of the resamples")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.runs or not self.truth:
            raise ValueError("runs, truth: name at least one")


def read_truth(systems: dict[str, ScoredSystem], config: CorrelateConfig) -> dict[tuple[str, str], float]:
    """Return for each (system, id) whether the checker found everything right, 1 or 0.

    Raises:
        ValueError: no sample has the checker's values, or all are equal.
    """
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for name, system in systems.items():
        for part in config.truth:
            for each, value in system.values.get((config.checker, part), {}).items():
                found[name, each].append(value)
    truth = {
        key: float(min(values) == 1) for key, values in found.items() if len(values) == len(config.truth)
    }
    if len(set(truth.values())) < 2:
        which = "none" if not truth else "all of them are " + ("right" if max(truth.values()) else "wrong")
        raise ValueError(
            f"runs: needs videos that {config.checker} ({', '.join(config.truth)}) finds right and others "
            f"that it finds wrong; {which}"
        )
    return truth


def correlate(config: CorrelateConfig) -> tuple[list[Correlation], int, int]:
    """Return the statistics of all values, and the numbers of right and of all videos."""
    systems, scores = read_scored_runs(config.runs)
    truth = read_truth(systems, config)
    names = dict.fromkeys(key for system in systems.values() for key in system.values)
    found = []
    for metric, score in names:
        if metric == config.checker:
            continue
        better = scores.get(metric, {}).get(score, Score(0)).better or 1
        rows = [
            (each, better * value, truth[name, each])
            for name, system in systems.items()
            for each, value in system.values.get((metric, score), {}).items()
            if (name, each) in truth
        ]
        if len({right for _, _, right in rows}) == 2:
            ids, values, right = zip(*rows, strict=True)
            found += _statistics(metric, score, np.array(values), np.array(right), list(ids), config.seed)
    return found, int(sum(truth.values())), len(truth)


def _statistics(
    metric: str, score: str, values: Array, right: Array, ids: list[str], seed: int
) -> list[Correlation]:
    codes = group_codes(ids, len(ids))
    drawn = [
        np.repeat(np.arange(len(ids)), counts)
        for counts in bootstrap_counts([codes], NUM_RESAMPLES, seed=seed)
    ]
    found, num_ids = [], int(codes.max()) + 1
    for name, measure in (("spearman", spearman), ("prefers", prefers_right)):
        value = measure(values, right)
        resampled = [x for rows in drawn if np.isfinite(x := measure(values[rows], right[rows]))]
        low, high = None, None
        if num_ids >= MIN_UNITS and len(resampled) >= MIN_DEFINED * NUM_RESAMPLES:
            low, high = percentile_bounds(resampled)
        if np.isfinite(value):
            method = f"bootstrap of {NUM_RESAMPLES} samples, percentiles"
            found.append(
                Correlation(metric, score, name, Interval(value, low, high, len(values), num_ids, method))
            )
    return found


def mid_ranks(values: Array) -> Array:
    """Return the ranks 1.. of values, equal ones the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def spearman(values: Array, right: Array) -> float:
    """Return Spearman's rank correlation; nan if one of both is constant."""
    a, b = (mid_ranks(each) - (len(values) + 1) / 2 for each in (values, right))
    norm = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norm) if norm else float("nan")


def prefers_right(values: Array, right: Array) -> float:
    """Return the probability that a right video has the higher value than a wrong one; ties count half."""
    num = int(right.sum())
    if num in (0, len(right)):
        return float("nan")
    return float((mid_ranks(values)[right == 1].sum() - num * (num + 1) / 2) / (num * (len(right) - num)))


def read_votes(folder: str) -> dict[tuple[str, str], str]:
    """Return the pairwise accuracy with votes by metric and value, formatted.

    Raises:
        ValueError: the folder has no agreement.jsonl.
    """
    if not folder:
        return {}
    path = Path(folder) / "agreement.jsonl"
    if not path.is_file():
        raise ValueError(
            f"agreement: {folder} has no agreement.jsonl; expected an output of eval.human.agreement"
        )
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for each in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        if each["measure"] == "pairwise_accuracy":
            bounds = "" if each["low"] is None else f" [{each['low']:.2f}, {each['high']:.2f}]"
            found[each["metric"], each["score"]].append(
                f"{each['question']} {each['value']:.2f}{bounds}".strip()
            )
    return {key: "; ".join(parts) for key, parts in found.items()}


def write_files(config: CorrelateConfig) -> str:
    """Write the page and the tables, and return the table.

    Raises:
        ValueError: the runs cannot be read, or the checker tells nothing.
    """
    found, num_right, num = correlate(config)
    votes, out = read_votes(config.agreement), Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    tables = tables_by_axis(found, votes)
    heads = [
        "value",
        "metric",
        "sub-axis",
        "Spearman",
        "prefers the right video",
        "videos",
        *(["votes"] if votes else []),
    ]
    by = f"{config.checker} ({', '.join(config.truth)})"
    intro = (
        f"{num_right} of {num} videos are right by {by}. Spearman's correlation of each value with that, and "
        "how often it prefers a right video to a wrong one (0.5: it does not know); 95 % intervals in "
        "brackets. Values with a better direction are turned so that higher is better."
    )
    text = intro + "\n"
    for axis, rows in tables.items():
        text += f"\n## {axis.capitalize()}\n\n{markdown_table(heads, rows)}"
    page = correlation_page(intro, heads, tables, found)
    for name, content in (("correlation.md", text), ("correlation.html", page)):
        with atomic_write(out / name) as temporary:
            temporary.write_text(content, encoding="utf-8")
    with (
        atomic_write(out / "correlation.csv") as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADS)
        for each in found:
            x, place = each.interval, axis_of(each.metric, each.score)
            numbers = ["" if value is None else f"{value:.6g}" for value in (x.mean, x.low, x.high)]
            key = [place.name, place.sub_axis, each.metric, each.score, each.measure]
            writer.writerow([*key, *numbers, x.num, x.num_groups])
    return text


def main(argv: list[str]) -> None:
    """Parse the command line, write the files and print the table."""
    config = from_command_line(CorrelateConfig, argv, __doc__)
    if config is None:
        return
    try:
        print(write_files(config), end="")
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error


if __name__ == "__main__":
    sys.exit(run_command(main))
