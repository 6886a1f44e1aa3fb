"""Tables of results: Markdown, CSV and JSON files, and the same table for the terminal."""

import csv
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from eval.results import EVERYTHING, Row
from eval.statistics import Interval


def columns(rows: list[Row]) -> list[str]:
    """Names of the values in order of first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row.intervals))


def percent(interval: Interval | None, digits: int = 1) -> str:
    """`97.5 [95.0, 99.0]` in per cent, or a dash where nothing was measured. Values are shares in [0, 1].

    `digits` is the bounds' number of decimals.
    """
    if interval is None:
        return "–"
    low, high = (f"{100 * value:.{digits}f}" for value in (interval.low, interval.high))
    return f"{100 * interval.mean:.1f} [{low}, {high}]"


def markdown(rows: list[Row]) -> str:
    """A Markdown table with 95 % intervals in brackets."""
    names = columns(rows)
    head = ["system", "slice", "n used / asked", *(f"{name} %" for name in names)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [row.system or "–", row.slice, f"{row.used} / {row.asked}"]
        cells += [percent(row.intervals.get(name)) for name in names]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def terminal(rows: list[Row], title: str) -> Table:
    """The table for rich's console."""
    names = columns(rows)
    systems = len({row.system for row in rows}) > 1
    table = Table(title=title, caption="per cent, 95 % intervals in brackets", title_style="bold")
    heads = [*(["system"] if systems else []), "slice", "n"]
    for head in heads:
        table.add_column(head, justify="right" if head == "n" else "left", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        count = f"{row.used}" if row.used == row.asked else f"[red]{row.used}/{row.asked}[/]"
        cells = [percent(row.intervals.get(name), digits=0) for name in names]
        start = [*([row.system or "–"] if systems else []), row.slice, count]
        table.add_row(*start, *cells, style="bold" if row.slice == EVERYTHING else "")
    return table


def write_tables(folder: Path, rows: list[Row], summary: dict[str, Any]) -> None:
    """Write table.md, table.csv (one line per number) and summary.json into `folder`."""
    (folder / "table.md").write_text(markdown(rows), encoding="utf-8")
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
    content = {**summary, "rows": [asdict(row) for row in rows]}
    text = json.dumps(content, indent=2, ensure_ascii=False)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
