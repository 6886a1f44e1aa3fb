"""Read the results of finished `eval.run`s: values per sample, table rows, and the meaning of each value."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.core.intervals import Interval
from eval.core.paired_tests import Values
from eval.core.results import ALL, Row, Score


@dataclass
class ScoredSystem:
    """A system's values per sample, its prompts by sample id, and its table rows over all samples.

    `folder` is the run's, `name` the system's name in it.
    """

    folder: Path
    name: str

    values: Values
    prompts: dict[str, str]
    rows: list[Row]


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
        system = systems.setdefault(record["system"], ScoredSystem(folder, record["system"], {}, {}, []))
        system.prompts[record["id"]] = record["prompt"]
        for score, value in (record["values"] or {}).items():
            system.values.setdefault((record["metric"], score), {})[record["id"]] = value
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for record in _records(folder / "scores.jsonl"):
        if record["slice"] != ALL:
            continue
        interval = Interval(*(record[k] for k in ("mean", "low", "high", "num", "num_groups", "method")))
        row = rows.setdefault((record["system"], record["metric"]), {"intervals": {}})
        row["intervals"][record["score"]] = interval
        row |= {"num_scored": record["num_scored"], "num_samples": record["num_samples"]}
        known = scores.setdefault(record["metric"], {})
        known[record["score"]] = Score(record["better"], record["unit"], record["text"])
    for (name, metric), row in rows.items():
        systems[name].rows.append(Row(system=name, metric=metric, slice=ALL, **row))
    return systems


def _records(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)
