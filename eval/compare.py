"""Compare scored runs: `python -m eval.compare runs=[DIR,DIR,...] out=FOLDER [baseline=NAME]`.

Each DIR is the `out` of an `eval.run`. Writes leaderboard.md, .tex and .csv (every system of every run)
and, for each system against the baseline, the paired differences with a permutation test and Holm's
correction over all scores (differences.csv, differences.md).
"""

import csv
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from eval.core.intervals import Interval
from eval.core.paired_tests import Difference, Values, compare_systems
from eval.core.results import EVERYTHING, Row, Score
from eval.reports import tables
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import opt


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Which runs to put beside each other."""

    runs: tuple[str, ...] = opt((), "folders written by eval.run")
    out: str = opt("???", "folder for the tables")
    baseline: str = opt("", "name of the system that others are compared with; empty takes the first")
    seed: int = opt(0, "seed of the bootstrap and the permutations")

    def __post_init__(self) -> None:
        if not self.runs:
            raise ValueError("runs: name at least one folder written by eval.run")


@dataclass
class System:
    """A system's numbers: per sample, and as they stand in the tables."""

    values: Values
    prompts: dict[str, str]
    rows: list[Row]


def read_runs(folders: tuple[str, ...]) -> tuple[dict[str, System], dict[str, dict[str, Score]]]:
    """Systems by name; a name that two runs share becomes `FOLDER/NAME`, an empty one the folder's name.

    Raises:
        ValueError: for a folder without results, or two of the same name.
    """
    systems, scores = dict[str, System](), dict[str, dict[str, Score]]()
    for folder in map(Path, folders):
        found = _read_run(folder, scores)
        for name, system in found.items():
            label = name or folder.resolve().name
            label = f"{folder.resolve().name}/{label}" if label in systems else label
            if label in systems:
                raise ValueError(f"runs: two systems are called {label!r}")
            systems[label] = system
    return systems, scores


def _read_run(folder: Path, scores: dict[str, dict[str, Score]]) -> dict[str, System]:
    systems: dict[str, System] = {}
    for name in ("results.jsonl", "scores.jsonl"):
        if not (folder / name).is_file():
            raise ValueError(f"runs: {folder} holds no {name}; is it the out folder of an eval.run?")
    for record in _lines(folder / "results.jsonl"):
        system = systems.setdefault(record["system"], System({}, {}, []))
        system.prompts[record["id"]] = record["prompt"]
        for score, value in (record["values"] or {}).items():
            system.values.setdefault((record["metric"], score), {})[record["id"]] = value
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for record in _lines(folder / "scores.jsonl"):
        if record["slice"] != EVERYTHING:
            continue
        interval = Interval(*(record[k] for k in ("mean", "low", "high", "num", "num_groups", "method")))
        row = rows.setdefault((record["system"], record["metric"]), {"intervals": {}})
        row["intervals"][record["score"]] = interval
        row |= {"used": record["used"], "asked": record["asked"]}
        known = scores.setdefault(record["metric"], {})
        known[record["score"]] = Score(record["better"], record["unit"], record["text"])
    for (name, metric), row in rows.items():
        systems[name].rows.append(Row(system=name, metric=metric, slice=EVERYTHING, **row))
    return systems


def _lines(path: Path) -> Any:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def compare(config: CompareConfig) -> tuple[str, str]:
    """Write the tables and return leaderboard and differences as Markdown."""
    systems, scores = read_runs(config.runs)
    baseline = config.baseline or next(iter(systems))
    if baseline not in systems:
        raise ValueError(f"baseline: expected one of {', '.join(systems)}, got {baseline!r}")
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    rows = [Row(**{**vars(row), "system": name}) for name, system in systems.items() for row in system.rows]
    board = tables.markdown(rows, scores)
    (out / "leaderboard.md").write_text(board, encoding="utf-8")
    (out / "leaderboard.tex").write_text(tables.latex(rows, scores), encoding="utf-8")
    first = systems[baseline]
    parts, lines = [], [["system", "baseline", *_HEADS]]
    for name, system in systems.items():
        if name != baseline:
            found, notes = compare_systems(first.values, system.values, first.prompts, seed=config.seed)
            parts.append(differences_markdown(f"{name} minus {baseline}", found, notes))
            lines += [[name, baseline, *_cells(each)] for each in found]
    (out / "differences.md").write_text("\n".join(parts), encoding="utf-8")
    with (out / "differences.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
    with (out / "leaderboard.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["system", "metric", "score", "mean", "low", "high", "used", "asked"])
        for row in rows:
            for score, x in row.intervals.items():
                writer.writerow([row.system, row.metric, score, x.mean, x.low, x.high, row.used, row.asked])
    return board, "\n".join(parts)


_HEADS = ["metric", "score", "difference", "low", "high", "n", "p", "p (Holm)"]


def _cells(each: Difference) -> list[str]:
    x = each.interval
    numbers = (f"{value:.6g}" for value in (x.mean, x.low, x.high))
    return [each.metric, each.score, *numbers, str(x.num), f"{each.p:.4g}", f"{each.p_holm:.4g}"]


def differences_markdown(title: str, found: list[Difference], notes: list[str]) -> str:
    """A table with 95 % intervals; bold where Holm's p is below 0.05."""
    lines = [f"### {title}", "", "| " + " | ".join(_HEADS) + " |", "|" + "---|" * len(_HEADS)]
    for each in found:
        cells = _cells(each)
        if each.p_holm < 0.05:
            cells[2] = f"**{cells[2]}**"
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)]).rstrip() + "\n"


def main(argv: list[str]) -> None:
    config = from_command_line(CompareConfig, argv, __doc__)
    if config is None:
        return
    try:
        board, differences = compare(config)
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error
    console = Console()
    console.print(board, markup=False, highlight=False)
    console.print(differences, markup=False, highlight=False)


if __name__ == "__main__":
    sys.exit(run_command(main))
