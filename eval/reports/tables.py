"""Tables of results: Markdown, LaTeX, CSV and JSON files, and the same table for the terminal."""

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
from eval.core.results import EVERYTHING, SHARE, Row, Score

Scores = dict[str, Score]
UNKNOWN = Score(0)


def check_folder_of(out: str) -> None:
    """Refuse a file to write whose folder is not there, before the work; empty writes none."""
    if out and not Path(out).resolve().parent.is_dir():
        raise ValueError(f"out: no such folder: {Path(out).parent}")


def columns(rows: list[Row]) -> list[str]:
    """Names of the values in order of first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row.intervals))


def score_of(scores: Scores, name: str) -> Score:
    """What a column is; `fd_inf_efflite0` is found as the longest known beginning, `fd_inf`."""
    known = [key for key in scores if name == key or name.startswith(key + "_")]
    return scores[max(known, key=len)] if known else UNKNOWN


def heading(name: str, score: Score) -> str:
    """Name, unit, and an arrow to where better is."""
    unit = "%" if score.unit == SHARE else score.unit
    return " ".join(filter(None, (name, unit, {1: "↑", -1: "↓"}.get(score.better, ""))))


def number(value: float, digits: int) -> str:
    """Fixed decimals, or scientific where fixed ones would show nothing."""
    return f"{value:.1e}" if value and abs(value) < 0.5 * 10**-digits else f"{value:.{digits}f}"


def cell(interval: Interval | None, score: Score = UNKNOWN, digits: int | None = None) -> str:
    """`97.5 [95.0, 99.0]`, shares in per cent, or a dash where nothing was measured.

    `digits` is the bounds' number of decimals.
    """
    if interval is None:
        return "–"
    factor = 100 if score.unit == SHARE else 1
    size = abs(interval.mean * factor)
    own = 1 if score.unit == SHARE or size >= 100 else 2 if size >= 10 else 3
    low, high = (number(factor * value, own if digits is None else digits) for value in _bounds(interval))
    return f"{number(factor * interval.mean, own)} [{low}, {high}]"


def _bounds(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


def markdown(rows: list[Row], scores: dict[str, Scores]) -> str:
    """A table for each metric, with 95 % intervals in brackets and what is to be known under it."""
    parts = []
    for metric, own in by_metric(rows):
        names = columns(own)
        known = scores.get(metric, {})
        heads = ["system", "slice", "n used / asked", *(heading(n, score_of(known, n)) for n in names)]
        lines = [f"### {metric}", "", "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
        for row in own:
            cells = [row.system or "–", row.slice, f"{row.used} / {row.asked}"]
            cells += [cell(row.intervals.get(name), score_of(known, name)) for name in names]
            lines.append("| " + " | ".join(each.replace("|", "\\|") for each in cells) + " |")
        lines += [""] + [f"- {note}" for note in dict.fromkeys(note for row in own for note in row.notes)]
        parts.append("\n".join(lines).rstrip() + "\n")
    return "\n".join(parts)


def latex(rows: list[Row], scores: dict[str, Scores]) -> str:
    """A booktabs table for each metric; needs \\usepackage{booktabs}."""
    parts = []
    for metric, own in by_metric(rows):
        names = columns(own)
        known = scores.get(metric, {})
        heads = ["system", "slice", "$n$", *(heading(n, score_of(known, n)) for n in names)]
        lines = [
            f"% {metric}, 95 % intervals in brackets",
            f"\\begin{{tabular}}{{ll{'r' * (len(names) + 1)}}}",
        ]
        lines += ["\\toprule", " & ".join(map(_tex, heads)) + " \\\\", "\\midrule"]
        for row in own:
            cells = [row.system or "–", row.slice, f"{row.used}/{row.asked}"]
            cells += [cell(row.intervals.get(name), score_of(known, name)) for name in names]
            lines.append(" & ".join(map(_tex, cells)) + " \\\\")
        parts.append("\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n")
    return "\n".join(parts)


_TEX = {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "–": "--"}
_TEX |= {sign: "\\" + sign for sign in "&%$#_{}"}
_TEX |= {"↑": "$\\uparrow$", "↓": "$\\downarrow$"}


def _tex(text: str) -> str:
    return text if text == "$n$" else "".join(_TEX.get(sign, sign) for sign in text)


def terminal(rows: list[Row], scores: Scores, title: str, console: Console) -> Table:
    """The table of one metric: a column for each number where they fit into the console, else a line."""
    table = _terminal(rows, scores, title, upright=False)
    needed = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
    return table if needed <= console.width else _terminal(rows, scores, title, upright=True)


def _terminal(rows: list[Row], scores: Scores, title: str, *, upright: bool) -> Table:
    names = columns(rows)
    systems = len({row.system for row in rows}) > 1
    table = Table(title=title, caption="95 % intervals in brackets", title_style="bold")
    for head in [*(["system"] if systems else []), "slice", "n"]:
        table.add_column(head, justify="right" if head == "n" else "left", no_wrap=True)
    heads = [heading(name, score_of(scores, name)) for name in names]
    for head in ("score", "") if upright else heads:
        table.add_column(head, justify="left" if upright else "right", no_wrap=True)
    for row in rows:
        count = f"{row.used}" if row.used == row.asked else f"[red]{row.used}/{row.asked}[/]"
        cells = []
        for name in names:
            known = score_of(scores, name)
            cells.append(cell(row.intervals.get(name), known, 0 if known.unit == SHARE else None))
        start = [*([row.system or "–"] if systems else []), row.slice, count]
        style = "bold" if row.slice == EVERYTHING else ""
        if not upright:
            table.add_row(*start, *cells, style=style)
            continue
        for line, pair in enumerate(zip(heads, cells, strict=True)):
            last = line == len(heads) - 1
            table.add_row(*(start if not line else [""] * len(start)), *pair, style=style, end_section=last)
    return table


def by_metric(rows: list[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Rows of each metric, in order of first appearance."""
    for metric in dict.fromkeys(row.metric for row in rows):
        yield metric, [row for row in rows if row.metric == metric]


def write_tables(folder: Path, rows: list[Row], summary: dict[str, Any], scores: dict[str, Scores]) -> None:
    """Write table.md, table.tex, table.csv (a line per number), scores.jsonl and summary.json."""
    (folder / "table.md").write_text(markdown(rows, scores), encoding="utf-8")
    (folder / "table.tex").write_text(latex(rows, scores), encoding="utf-8")
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["system", "metric", "slice", "score", "mean", "low", "high", "used", "asked", "interval"]
        )
        for row in rows:
            for name, x in row.intervals.items():
                bounds = [f"{value:.6f}" for value in (x.mean, x.low, x.high)]
                key = [row.system, row.metric, row.slice, name]
                writer.writerow([*key, *bounds, row.used, row.asked, x.method])
    with (folder / "scores.jsonl").open("w", encoding="utf-8") as file:
        for record in score_records(rows, summary, scores):
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    content = {**summary, "rows": [asdict(row) for row in rows]}
    text = json.dumps(content, indent=2, ensure_ascii=False)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")


def score_records(
    rows: list[Row], summary: dict[str, Any], scores: dict[str, Scores]
) -> Iterator[dict[str, Any]]:
    """One complete record for every number: what was measured, with what, on what, and what was left out."""
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
                "used": row.used,
                "asked": row.asked,
                "dropped": dropped if row.slice == EVERYTHING else None,
                "measured": {k: v for k, v in measured.get(row.metric, {}).items() if k != "metric"},
                "notes": [note for note in row.notes if note.startswith(name + ":")],
                "seed": summary["seed"],
                "versions": summary["versions"],
            }
