"""The files of a run that hold its numbers: tables, CSV, and a record for every number."""

import csv
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from eval.catalog import axis_of
from eval.core.results import ALL, Row, json_line
from eval.reports.latex_tables import latex_tables
from eval.reports.tables import Scores, markdown_tables, score_of


def write_tables(folder: Path, rows: list[Row], summary: dict[str, Any], scores: dict[str, Scores]) -> None:
    """Write table.md, table.tex, table.csv (a line per number), scores.jsonl and summary.json."""
    (folder / "table.md").write_text(markdown_tables(rows, scores), encoding="utf-8")
    (folder / "table.tex").write_text(latex_tables(rows, scores), encoding="utf-8")
    # names of files may be no Unicode: they are written as escapes
    with (folder / "table.csv").open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_HEADS)
        writer.writerows(csv_row(row, name) for row in rows for name in row.intervals)
    with (folder / "scores.jsonl").open("w", encoding="utf-8", errors="backslashreplace") as file:
        for record in score_records(rows, summary, scores):
            file.write(json_line(record) + "\n")
    content = {**summary, "rows": [asdict(row) for row in rows]}
    text = json.dumps(content, indent=2, ensure_ascii=False)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


CSV_HEADS = (
    *("system", "axis", "sub_axis", "metric", "slice", "score", "mean", "low", "high", "num"),
    *("num_reference", "num_scored", "num_samples", "reference_scored", "reference_samples"),
    *("interval", "skewed"),
)


def csv_row(row: Row, name: str) -> list[str]:
    """Return the line of a value in table.csv; bounds are empty where there is no interval."""
    x, axis = row.intervals[name], axis_of(row.metric, name)
    numbers = ["" if value is None else f"{value:.9g}" for value in (x.mean, x.low, x.high)]
    counts = [x.num, x.num_reference, row.num_scored, row.num_samples]
    counts += [row.reference_scored, row.reference_samples]
    shown = ["" if count is None else str(count) for count in counts]
    key = [row.system, axis.name, axis.sub_axis, row.metric, row.slice, name]
    return [*key, *numbers, *shown, x.method, str(x.skewed).lower()]


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
                "axis": axis_of(row.metric, name).name,
                "sub_axis": axis_of(row.metric, name).sub_axis,
                "score": name,
                "slice": row.slice,
                **asdict(interval),
                **asdict(score_of(scores.get(row.metric, {}), name)),
                "num_scored": row.num_scored,
                "num_samples": row.num_samples,
                "reference_scored": row.reference_scored,
                "reference_samples": row.reference_samples,
                "reference_key": row.reference_key,
                "dropped": dropped if row.slice == ALL else None,
                "measured": {k: v for k, v in measured.get(row.metric, {}).items() if k != "metric"},
                "notes": [note for note in row.notes if note.startswith(name + ":")],
                "seed": summary["seed"],
                "versions": summary["versions"],
            }
