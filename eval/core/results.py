"""One result per sample and metric, and the summary of many: what was asked, used, dropped, found."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from eval.core.audio import Sound, read_sound
from eval.core.intervals import Interval, bootstrap_interval
from eval.core.manifest import Sample, resolve_media
from eval.core.video import Video, read_video

EVERYTHING = "all"


@dataclass(frozen=True)
class Measurement:
    """What one metric says of one sample: `values` are averaged, `detail` explains them (plain JSON)."""

    values: dict[str, float]
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """What a value is: `better` is 1 where more is better, -1 where less is, 0 where neither is said."""

    better: int
    unit: str = ""  # SHARE is shown in per cent
    text: str = ""


SHARE = "share"


class Item:
    """A sample with its files, each decoded once and only if a metric asks for it.

    All raise ValueError, with the reason in one line, where there is no such file or it is unreadable.
    """

    def __init__(self, sample: Sample, root: Path) -> None:
        self.sample, self.root = sample, root

    def path(self, key: str) -> Path:
        relative = getattr(self.sample, key)
        if relative is None:
            raise ValueError(f"names no {key}")
        return resolve_media(self.root, relative, key)

    @cached_property
    def video(self) -> Video:
        return read_video(self.path("video"))

    @cached_property
    def picture(self) -> Video:
        """The film, or the still picture of a sample that has no film."""
        still = self.sample.video is None and self.sample.image is not None
        return read_video(self.path("image")) if still else self.video

    @cached_property
    def reference_video(self) -> Video:
        return read_video(self.path("reference"))

    @cached_property
    def sound_path(self) -> Path:
        """The sound file, or the film whose sound track it is."""
        return self.path("video" if self.sample.audio is None and self.sample.video else "audio")

    @cached_property
    def sound(self) -> Sound:
        return read_sound(self.sound_path)

    @cached_property
    def reference_sound(self) -> Sound:
        return read_sound(self.path("reference"))


class Metric(Protocol):
    """A metric over single samples. `scores` says what its values are, in the order of the columns."""

    name: str
    scores: dict[str, Score]

    def describe(self) -> dict[str, Any]:
        """What is measured and how: version, backbone and weights if any, preprocessing."""
        ...

    def measure(self, item: Item) -> Measurement:
        """Judge one sample. Raises ValueError, with the reason in one line, where that is impossible."""
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
    notes: tuple[str, ...] = ()


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
