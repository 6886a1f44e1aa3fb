"""Read the results of finished `eval.run`s: values per sample, table rows, and the meaning of each value."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from eval.core.axes import Axis, declare_axis
from eval.core.intervals import Interval
from eval.core.paired_tests import Pooled, Values
from eval.core.results import ALL, Row, Score

_ROW_KEYS = ("num_scored", "num_samples", "reference_scored", "reference_samples", "reference_key")


@dataclass
class ScoredSystem:
    """A system's results. `folder` is the run's, `name` the system's name in it.

    `values` and `pooled`: per sample; `prompts` and `references` (sha256 of the file): by sample id;
    `measured`: by metric what was measured and how; `rows`: of the tables, over all samples.
    """

    folder: Path
    name: str
    values: Values = field(default_factory=dict)
    pooled: Pooled = field(default_factory=dict)
    prompts: dict[str, str] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)


def read_scored_runs(
    folders: tuple[str, ...],
) -> tuple[dict[str, ScoredSystem], dict[str, dict[str, Score]]]:
    """Return systems by name, and the meaning of each value by metric and name.

    A name that two runs share becomes `FOLDER/NAME`, an empty one the name of the folder.

    Raises:
        ValueError: a folder has no results, or two systems have the same name.
    """
    systems, scores = dict[str, ScoredSystem](), dict[str, dict[str, Score]]()
    for folder in map(Path, folders):
        found = _read_run(folder, scores)
        for name, system in found.items():
            label = name or folder.resolve().name
            label = f"{folder.resolve().name}/{label}" if label in systems else label
            if label in systems:
                raise ValueError(f"runs: two systems are called {label!r}")
            systems[label] = system
    return systems, scores


def _read_run(folder: Path, scores: dict[str, dict[str, Score]]) -> dict[str, ScoredSystem]:
    systems: dict[str, ScoredSystem] = {}
    for name in ("results.jsonl", "scores.jsonl"):
        if not (folder / name).is_file():
            raise ValueError(f"runs: {folder} has no {name}; expected an output folder of eval.run")
    for record in _records(folder / "results.jsonl"):
        system = systems.setdefault(record["system"], ScoredSystem(folder, record["system"]))
        name = record["id"]
        system.prompts[name], system.references[name] = record["prompt"], record["reference"]
        for score, value in (record["values"] or {}).items():
            system.values.setdefault((record["metric"], score), {})[name] = value
        for score, (top, bottom) in record["pooled"].items():
            system.pooled.setdefault((record["metric"], score), {})[name] = (top, bottom)
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for record in _records(folder / "scores.jsonl"):
        if record["slice"] != ALL:
            continue
        interval = Interval(**{each.name: record[each.name] for each in fields(Interval)})
        row = rows.setdefault((record["system"], record["metric"]), {"intervals": {}})
        row["intervals"][record["score"]] = interval
        row |= {key: record[key] for key in _ROW_KEYS}
        systems[record["system"]].measured[record["metric"]] = record["measured"]
        known = scores.setdefault(record["metric"], {})
        known[record["score"]] = Score(record["better"], record["unit"], record["text"])
        if "own" in record["measured"]:
            declare_axis(record["metric"], Axis(record["axis"], record["sub_axis"]))
    for (name, metric), row in rows.items():
        systems[name].rows.append(Row(system=name, metric=metric, slice=ALL, **row))
    return systems


def _records(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)
