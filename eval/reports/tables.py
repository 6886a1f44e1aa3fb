"""Tables of results: Markdown, LaTeX, CSV and JSON files, and the same tables for the terminal."""

import csv
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from eval.core.intervals import Interval
from eval.core.results import ALL, FRACTION, Row, Score
from src.core.markdown import markdown_table

Scores = dict[str, Score]
"""Name of a value -> its meaning, for one metric."""

UNKNOWN = Score(0)
BEST = "★"


def require_parent_dir(out: str) -> None:
    """Raise ValueError if the folder of the output file `out` is missing; an empty name is accepted."""
    if out and not Path(out).resolve().parent.is_dir():
        raise ValueError(f"out: no such folder: {Path(out).parent}")


def score_names(rows: list[Row]) -> list[str]:
    """Return the names of the values in order of first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row.intervals))


def score_of(scores: Scores, name: str) -> Score:
    """Return the meaning of a value; `fd_inf_efflite0` is found under the longest known prefix, `fd_inf`."""
    known = [key for key in scores if name == key or name.startswith(key + "_")]
    return scores[max(known, key=len)] if known else UNKNOWN


def heading(name: str, score: Score) -> str:
    """Return name, unit, and an arrow in the direction of better values."""
    unit = "%" if score.unit == FRACTION else score.unit
    return " ".join(filter(None, (name, unit, {1: "↑", -1: "↓"}.get(score.better, ""))))


def format_number(value: float, digits: int) -> str:
    """Format with fixed decimals, or in scientific notation if these would all be 0."""
    return f"{value:.1e}" if value and abs(value) < 0.5 * 10**-digits else f"{value:.{digits}f}"


def format_interval(interval: Interval | None, score: Score = UNKNOWN, *, signed: bool = False) -> str:
    """Format as `97.5 [95.0, 99.0]`, fractions in per cent; a dash if there is no value.

    Mean and bounds have the same number of decimals, so that the interval always contains its mean.

    Args:
        signed: write a plus before positive means, as of differences.
    """
    if interval is None:
        return "–"
    factor = 100 if score.unit == FRACTION else 1
    numbers = [factor * value for value in (interval.mean, interval.low, interval.high)]
    size = abs(numbers[0])
    digits = 1 if score.unit == FRACTION or size >= 100 else 2 if size >= 10 else 3
    rounding_error = 1e-9 * max(map(abs, numbers))
    mean, low, high = (format_number(n if abs(n) > rounding_error else 0.0, digits) for n in numbers)
    return f"{'+' * (signed and numbers[0] > 0)}{mean} [{low}, {high}]"


def best_values(rows: list[Row], scores: Scores) -> set[tuple[str, str, str]]:
    """Return (system, slice, value name) of the best mean of each value where systems can be compared."""
    best = set()
    for part in dict.fromkeys(row.slice for row in rows):
        for name in score_names(rows):
            better = score_of(scores, name).better
            means = {
                row.system: better * row.intervals[name].mean
                for row in rows
                if row.slice == part and name in row.intervals
            }
            if better and len(means) > 1:
                best |= {
                    (system, part, name) for system, mean in means.items() if mean == max(means.values())
                }
    return best


def markdown_tables(rows: list[Row], scores: dict[str, Scores]) -> str:
    """Return a table for each metric: 95 % intervals in brackets, best means in bold, notes below."""
    parts = []
    for metric, metric_rows in by_metric(rows):
        names, known = score_names(metric_rows), scores.get(metric, {})
        best = best_values(metric_rows, known)
        heads = ["system", "slice", "n scored / samples", *(heading(n, score_of(known, n)) for n in names)]
        table = []
        for row in metric_rows:
            cells = [row.system or "–", row.slice, f"{row.num_scored} / {row.num_samples}"]
            for name in names:
                text = format_interval(row.intervals.get(name), score_of(known, name))
                bold = (row.system, row.slice, name) in best
                cells.append("**{}** {}".format(*text.split(" ", 1)) if bold else text)
            table.append(cells)
        notes = [f"- {note}\n" for note in dict.fromkeys(note for row in metric_rows for note in row.notes)]
        text = f"### {metric}\n\n{markdown_table(heads, table)}"
        parts.append(text + "\n" * bool(notes) + "".join(notes))
    return "\n".join(parts)


def latex_tables(rows: list[Row], scores: dict[str, Scores]) -> str:
    """Return a booktabs table for each metric; needs \\usepackage{booktabs}."""
    parts = []
    for metric, metric_rows in by_metric(rows):
        names, known = score_names(metric_rows), scores.get(metric, {})
        heads = ["system", "slice", "$n$", *(heading(n, score_of(known, n)) for n in names)]
        lines = [
            f"% {metric}, 95 % intervals in brackets",
            f"\\begin{{tabular}}{{ll{'r' * (len(names) + 1)}}}",
        ]
        lines += ["\\toprule", " & ".join(map(_escape_tex, heads)) + " \\\\", "\\midrule"]
        for row in metric_rows:
            cells = [row.system or "–", row.slice, f"{row.num_scored}/{row.num_samples}"]
            cells += [format_interval(row.intervals.get(name), score_of(known, name)) for name in names]
            lines.append(" & ".join(map(_escape_tex, cells)) + " \\\\")
        parts.append("\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n")
    return "\n".join(parts)


_TEX = {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "–": "--"}
_TEX |= {sign: "\\" + sign for sign in "&%$#_{}"}
_TEX |= {"↑": "$\\uparrow$", "↓": "$\\downarrow$"}


def _escape_tex(text: str) -> str:
    return text if text == "$n$" else "".join(_TEX.get(sign, sign) for sign in text)


def terminal_table(rows: list[Row], scores: Scores, title: str, console: Console) -> Table:
    """Return the table of one metric: a column for each value if they fit into the console, else a line."""
    table = _terminal_table(rows, scores, title, vertical=False)
    needed = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
    return table if needed <= console.width else _terminal_table(rows, scores, title, vertical=True)


def _terminal_table(rows: list[Row], scores: Scores, title: str, *, vertical: bool) -> Table:
    names, best = score_names(rows), best_values(rows, scores)
    has_systems = len({row.system for row in rows}) > 1
    caption = "95 % intervals in brackets" + f", {BEST} best" * bool(best)
    table = Table(title=title, caption=caption, title_style="bold")
    for head in [*(["system"] if has_systems else []), "slice", "n"]:
        table.add_column(head, justify="right" if head == "n" else "left", no_wrap=True)
    heads = [heading(name, score_of(scores, name)) for name in names]
    for head in ("score", "") if vertical else heads:
        table.add_column(head, justify="left" if vertical else "right", no_wrap=True)
    for row in rows:
        count = (
            f"{row.num_scored}"
            if row.num_scored == row.num_samples
            else f"[red]{row.num_scored}/{row.num_samples}[/]"
        )
        cells = []
        for name in names:
            text = format_interval(row.intervals.get(name), score_of(scores, name))
            marked = (row.system, row.slice, name) in best
            cells.append(text + f" {BEST}" * marked)
        start = [*([row.system or "–"] if has_systems else []), row.slice, count]
        style = "bold" if row.slice == ALL else ""
        if not vertical:
            table.add_row(*start, *cells, style=style)
            continue
        for line, pair in enumerate(zip(heads, cells, strict=True)):
            last = line == len(heads) - 1
            table.add_row(*(start if not line else [""] * len(start)), *pair, style=style, end_section=last)
    return table


def by_metric(rows: list[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Yield the rows of each metric, in order of first appearance."""
    for metric in dict.fromkeys(row.metric for row in rows):
        yield metric, [row for row in rows if row.metric == metric]


def write_tables(folder: Path, rows: list[Row], summary: dict[str, Any], scores: dict[str, Scores]) -> None:
    """Write table.md, table.tex, table.csv (a line per number), scores.jsonl and summary.json."""
    (folder / "table.md").write_text(markdown_tables(rows, scores), encoding="utf-8")
    (folder / "table.tex").write_text(latex_tables(rows, scores), encoding="utf-8")
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            [
                "system",
                "metric",
                "slice",
                "score",
                "mean",
                "low",
                "high",
                "num_scored",
                "num_samples",
                "interval",
            ]
        )
        for row in rows:
            for name, x in row.intervals.items():
                bounds = [f"{value:.6f}" for value in (x.mean, x.low, x.high)]
                key = [row.system, row.metric, row.slice, name]
                writer.writerow([*key, *bounds, row.num_scored, row.num_samples, x.method])
    with (folder / "scores.jsonl").open("w", encoding="utf-8") as file:
        for record in score_records(rows, summary, scores):
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    content = {**summary, "rows": [asdict(row) for row in rows]}
    text = json.dumps(content, indent=2, ensure_ascii=False)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")


def score_records(
    rows: list[Row], summary: dict[str, Any], scores: dict[str, Scores]
) -> Iterator[dict[str, Any]]:
    """Yield a self-contained record for every number: metric, backbone, samples, dropped ones, versions."""
    measured = {each["metric"].replace("features_", "distribution_"): each for each in summary["measured"]}
    for row in rows:
        dropped = [
            {"id": each["id"], "reason": each["reason"]}
            for each in summary["dropped"]
            if each["system"] == row.system
            and each["metric"].replace("features_", "distribution_") == row.metric
        ]
        for name, interval in row.intervals.items():
            yield {
                "system": row.system,
                "metric": row.metric,
                "score": name,
                "slice": row.slice,
                **asdict(interval),
                **asdict(score_of(scores.get(row.metric, {}), name)),
                "num_scored": row.num_scored,
                "num_samples": row.num_samples,
                "dropped": dropped if row.slice == ALL else None,
                "measured": {k: v for k, v in measured.get(row.metric, {}).items() if k != "metric"},
                "notes": [note for note in row.notes if note.startswith(name + ":")],
                "seed": summary["seed"],
                "versions": summary["versions"],
            }
