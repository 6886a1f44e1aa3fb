"""Samples with their results, as the contact sheet and the HTML page display them."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from eval.core.manifest import Sample
from eval.core.results import FRACTION
from eval.reports.tables import Scores, score_of

Key = tuple[str, str]
"""(system, id) of a sample."""


@dataclass
class SampleResults:
    """Results of all metrics for one sample.

    `verdicts`: values that are correct (1) or not (0). `values`: the other numbers. `checks`: expected and
    recognized content. `dropped`: reasons of the metrics that could not be computed.
    """

    key: Key
    verdicts: dict[str, bool] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    checks: list[dict[str, Any]] = field(default_factory=list)
    why: str = ""
    dropped: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """True if a verdict is negative, or a metric was dropped."""
        return bool(self.dropped) or not all(self.verdicts.values())


def read_results(path: Path, scores: dict[str, Scores]) -> Iterator[SampleResults]:
    """Yield the results of each sample of a results.jsonl, whose records of one sample are consecutive."""
    with path.open(encoding="utf-8") as lines:
        records = map(json.loads, lines)
        for key, group in groupby(records, lambda record: (record["system"], record["id"])):
            found = SampleResults(key)
            for record in group:
                _add(found, record, scores.get(record["metric"], {}))
            yield found


def _add(found: SampleResults, record: dict[str, Any], scores: Scores) -> None:
    for name, value in (record["values"] or {}).items():
        score = score_of(scores, name)
        if score.unit == FRACTION and score.better == 1 and value in (0, 1):
            found.verdicts[name] = bool(value)
        else:
            found.values[name] = value
    found.checks += record["detail"].get("checks", [])
    found.why = found.why or record["detail"].get("why", "")
    if record["dropped"]:
        found.dropped.append(f"{record['metric']}: {record['dropped']}")


def select_failures_first(
    results: Path, scores: dict[str, Scores], num: int
) -> tuple[list[SampleResults], str]:
    """Return at most `num` samples, failed ones first, and a sentence about the selection.

    Failed samples take at most half of the slots if there are enough others.
    """
    failed, correct = list[SampleResults](), list[SampleResults]()
    num_failed = num_correct = 0
    for each in read_results(results, scores):
        num_failed, num_correct = num_failed + each.failed, num_correct + (not each.failed)
        group = failed if each.failed else correct
        if len(group) < num:
            group.append(each)
    picked = failed[: max(num - num // 2, num - len(correct))]
    picked += correct[: num - len(picked)]
    num_picked = sum(each.failed for each in picked)
    text = f"{num_picked} of {num_failed} failed samples, {len(picked) - num_picked} of {num_correct} others"
    return picked, text


def load_samples(samples: Iterable[Sample], keys: set[Key]) -> dict[Key, Sample]:
    """Return the samples that have these keys."""
    found = (each for each in samples if (each.system, each.id) in keys)
    return {(each.system, each.id): each for each in islice(found, len(keys))}
