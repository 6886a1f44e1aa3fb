"""Compare scored runs: `python -m eval.compare 'runs=[DIR,DIR]' out=FOLDER [baseline=NAME]`.

Each DIR is the `out` of an `eval.run`. Writes leaderboard.md, .tex and .csv (every system of every run)
and, for each system against the baseline, the paired differences with a permutation test and Holm's
correction over all tests (differences.md, differences.csv), and compare.html with the videos side by side.
Samples with other prompts or references, and metrics that were measured otherwise, are not compared; each
table's notes count and name them.
"""

import csv
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from eval.catalog import axis_of
from eval.core.paired_tests import Difference
from eval.core.results import Row, Score
from eval.core.run_folder import RunFolder
from eval.core.scored_runs import read_scored_runs
from eval.core.system_pairs import compare_systems, correct_family, leaderboard_rows
from eval.reports import score_files, tables
from eval.reports.comparison_page import load_media, write_comparison_page
from eval.reports.latex_tables import latex_tables
from eval.reports.plain_text import as_markdown, as_terminal
from eval.reports.terminal_tables import terminal_table
from src.core.atomic import atomic_write
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import Config, opt
from src.core.markdown import markdown_table
from src.core.suggestions import did_you_mean

SIGNIFICANT_P = 0.05
FILES = (
    *("leaderboard.md", "leaderboard.tex", "leaderboard.csv", "differences.md", "differences.csv"),
    "compare.html",
)
_HEADS = ["metric", "score", "difference", "n", "p", "p (Holm)"]
_CSV_HEADS = ["system", "baseline", "axis", "sub_axis", "metric", "score", "difference", "low", "high", "n"]
_CSV_HEADS += ["p", "p (Holm)"]

Scores = dict[str, dict[str, Score]]
"""metric -> score -> its meaning."""


@dataclass(frozen=True, kw_only=True)
class CompareConfig(Config):
    """Settings of `eval.compare`."""

    runs: tuple[str, ...] = opt((), "folders written by eval.run")
    out: str = opt("???", "folder for the tables")
    baseline: str = opt("", "name of the system that others are compared with; empty takes the first")
    seed: int = opt(0, "seed of the bootstrap and the permutations")
    html_samples: int = opt(12, "samples whose videos are in compare.html; 0 writes no page", ge=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.runs:
            raise ValueError("runs: name at least one folder written by eval.run")


@dataclass(frozen=True)
class Comparison:
    """The paired differences of one system from the baseline, and notes on samples without a partner."""

    system: str
    baseline: str
    differences: list[Difference]
    notes: list[str]

    @property
    def title(self) -> str:
        return f"{self.system} minus {self.baseline}"


def compare(config: CompareConfig) -> tuple[list[Row], list[Comparison], Scores]:
    """Write the tables and return the leaderboard's rows, the comparisons, and the meaning of the scores.

    Raises:
        ValueError: a folder has no results, or no system has the baseline's name.
    """
    systems, scores = read_scored_runs(config.runs)
    baseline = config.baseline or next(iter(systems))
    if baseline not in systems:
        hint = did_you_mean(baseline, systems)
        raise ValueError(f"baseline: no system is called {baseline!r}; {hint} (all: {', '.join(systems)})")
    first = systems[baseline]
    rows = leaderboard_rows(systems, first)
    pairs = {name: compare_systems(first, each, scores, seed=config.seed) for name, each in systems.items()
             if name != baseline}  # fmt: skip
    for name, (differences, notes) in pairs.items():
        if not differences:
            reason = "; ".join(notes) or "they have no metric in common"
            raise ValueError(f"runs: nothing of {name} can be compared with {baseline}: {reason}")
    corrected = correct_family([each for differences, _ in pairs.values() for each in differences])
    comparisons = []
    for name, (differences, notes) in pairs.items():
        own, corrected = corrected[: len(differences)], corrected[len(differences) :]
        comparisons.append(Comparison(name, baseline, own, notes))
    folder = RunFolder(config.out, FILES)
    folder.start()
    _write(folder.unfinished, rows, comparisons, scores)
    folder.publish()  # without the page of an earlier comparison; the new one follows
    return rows, comparisons, scores


def _write(out: Path, rows: list[Row], comparisons: list[Comparison], scores: Scores) -> None:
    (out / "leaderboard.md").write_text(tables.markdown_tables(rows, scores), encoding="utf-8")
    (out / "leaderboard.tex").write_text(latex_tables(rows, scores), encoding="utf-8")
    parts = [differences_markdown(each, scores) for each in comparisons]
    (out / "differences.md").write_text("\n".join(parts), encoding="utf-8")
    with (out / "differences.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_CSV_HEADS)
        for comparison in comparisons:
            for each in comparison.differences:
                x, axis = each.interval, axis_of(each.metric, each.score)
                numbers = ["" if value is None else f"{value:.6g}" for value in (x.mean, x.low, x.high)]
                key = [comparison.system, comparison.baseline, axis.name, axis.sub_axis]
                p_values = ["" if p is None else f"{p:.4g}" for p in (each.p, each.p_holm)]
                writer.writerow([*key, each.metric, each.score, *numbers, x.num, *p_values])
    with (out / "leaderboard.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(score_files.CSV_HEADS)
        writer.writerows(score_files.csv_row(row, name) for row in rows for name in row.intervals)


def write_page(config: CompareConfig, rows: list[Row], scores: Scores) -> None:
    """Write compare.html.

    Raises:
        ValueError: a run has no config.yaml, or the manifest that it names is missing.
    """
    systems, _ = read_scored_runs(config.runs)
    media = {name: load_media(each.folder, each.name, scores) for name, each in systems.items()}
    with atomic_write(Path(config.out) / "compare.html") as page:
        write_comparison_page(page, rows, scores, media, config.html_samples)


def _cells(each: Difference, scores: Scores) -> list[str]:
    """Return the cells of a difference, in the units of the leaderboard."""
    score = tables.score_of(scores.get(each.metric, {}), each.score)
    difference = tables.format_interval(each.interval, score, signed=True)
    p_values = [format_p(each.p), format_p(each.p_holm)]
    return [each.metric, tables.heading(each.score, score), difference, str(each.interval.num), *p_values]


def format_p(p: float | None) -> str:
    """Format a p value with three decimals; a dash if there was no test."""
    if p is None:
        return "–"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def is_better(each: Difference, scores: Scores) -> bool | None:
    """Return whether the system is significantly better (or worse) than the baseline; None if neither."""
    better = tables.score_of(scores.get(each.metric, {}), each.score).better
    if each.p_holm is None or each.p_holm >= SIGNIFICANT_P or not better:
        return None
    return better * each.interval.mean > 0


def differences_markdown(comparison: Comparison, scores: Scores) -> str:
    """Return a table with 95 % intervals; bold if Holm's p is below SIGNIFICANT_P."""
    rows = []
    for each in comparison.differences:
        cells = _cells(each, scores)
        if each.p_holm is not None and each.p_holm < SIGNIFICANT_P:
            cells[2] = tables.bold_number(cells[2])
        rows.append(cells)
    notes = "".join(f"- {as_markdown(note)}\n" for note in comparison.notes)
    return (
        f"### {as_markdown(comparison.title)}\n\n{markdown_table(_HEADS, rows)}" + "\n" * bool(notes) + notes
    )


def differences_table(comparison: Comparison, scores: Scores) -> Table:
    """Return the table for the terminal; significant differences have a mark and a color."""
    caption = f"95 % intervals in brackets, ✓ better, ✗ worse with p (Holm) below {SIGNIFICANT_P}"
    table = Table(title=as_terminal(comparison.title), caption=caption, title_style="bold")
    for head in _HEADS[1:]:
        table.add_column(head, justify="left" if head == "score" else "right", no_wrap=True)
    metric = ""
    for each in comparison.differences:
        if each.metric != metric:
            metric = each.metric
            table.add_section()
            table.add_row(metric, style="bold")
        (_, *cells), better = _cells(each, scores), is_better(each, scores)
        cells[1] += {True: " ✓", False: " ✗", None: "  "}[better]
        table.add_row(*cells, style={True: "green", False: "red", None: ""}[better])
    return table


def main(argv: list[str]) -> None:
    """Parse the command line, compare the runs and print the tables."""
    config = from_command_line(CompareConfig, argv, __doc__)
    if config is None:
        return
    try:
        rows, comparisons, scores = compare(config)
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error
    console = Console()
    for metric, metric_rows in tables.by_metric(rows):
        title = tables.metric_title(metric, tables.score_names(metric_rows))
        console.print(terminal_table(metric_rows, scores.get(metric, {}), title, console))
        for note in dict.fromkeys(note for row in metric_rows for note in row.notes):
            console.print(as_terminal(f"note: {note}", "yellow"))
    for each in comparisons:
        console.print(differences_table(each, scores))
        for note in each.notes:
            console.print(as_terminal(f"note: {note}", "yellow"))
    files = "leaderboard.md, .tex, .csv, differences.md, .csv"
    if config.html_samples:
        try:
            write_page(config, rows, scores)
            files += ", compare.html"
        except ValueError as error:  # media may be on another machine
            console.print(as_terminal(f"note: no compare.html: {error}", "yellow"))
    console.print(as_terminal(f"written to {config.out}: {files}"))


if __name__ == "__main__":
    sys.exit(run_command(main))
