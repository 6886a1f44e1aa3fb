"""One result per sample and metric, and the summary of many: what was asked, used, dropped, found."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from eval.manifest import Sample
from eval.media import Video
from eval.statistics import Interval, bootstrap_interval

EVERYTHING = "all"


@dataclass(frozen=True)
class Measurement:
    """What one metric says of one sample: `values` are averaged, `detail` explains them (plain JSON)."""

    values: dict[str, float]
    detail: dict[str, Any] = field(default_factory=dict)


class Metric(Protocol):
    """A metric over single films. `scores` names its values in the order of the table's columns."""

    name: str
    scores: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """What is measured and how: version, backbone and weights if any, preprocessing."""
        ...

    def measure(self, sample: Sample, video: Video) -> Measurement:
        """Judge one film. Raises ValueError, with the reason in one line, where that is impossible."""
        ...


@dataclass(frozen=True, kw_only=True)
class Record:
    """A line of results.jsonl. `dropped` holds the reason where there are no values."""

    id: str
    system: str
    prompt: str
    tags: tuple[str, ...]
    metric: str
    values: dict[str, float] | None
    detail: dict[str, Any]
    dropped: str | None

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "tags": list(self.tags)}, ensure_ascii=False)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: a system on a slice. `asked` counts dropped samples too, `used` does not."""

    system: str
    metric: str
    slice: str
    asked: int
    used: int
    intervals: dict[str, Interval]


class Tally:
    """Collects records one by one and keeps only numbers, so that large sets stream through."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, str], list[tuple[str, dict[str, float] | None]]] = {}
        self.dropped: list[dict[str, str]] = []

    def add(self, record: Record) -> None:
        for tag in (EVERYTHING, *dict.fromkeys(record.tags)):
            cell = self._groups.setdefault((record.system, record.metric, tag), [])
            cell.append((record.prompt, record.values))
        if record.dropped is not None:
            entry = {"id": record.id, "system": record.system, "metric": record.metric}
            self.dropped.append({**entry, "reason": record.dropped})

    def rows(self, *, slices: Iterable[str] = (), seed: int = 0) -> list[Row]:
        """Rows with 95 % intervals: the whole set first, then each slice, by system and metric.

        Args:
            slices: tags to cut by; none means every tag that occurs.
            seed: of the bootstrap. Samples that share a prompt are drawn together.
        """
        wanted = set(slices)
        rows = []
        for system, metric, tag in sorted(self._groups, key=lambda k: (k[0], k[1], k[2] != EVERYTHING, k[2])):
            if tag != EVERYTHING and wanted and tag not in wanted:
                continue
            cell = self._groups[system, metric, tag]
            used = [(prompt, values) for prompt, values in cell if values is not None]
            names = dict.fromkeys(name for _, values in used for name in values)
            intervals = {}
            for name in names:
                pairs = [(prompt, values[name]) for prompt, values in used if name in values]
                prompts, numbers = zip(*pairs, strict=True)
                intervals[name] = bootstrap_interval(numbers, prompts, seed=seed)
            rows.append(
                Row(
                    system=system,
                    metric=metric,
                    slice=tag,
                    asked=len(cell),
                    used=len(used),
                    intervals=intervals,
                )
            )
        return rows
