"""Results of metrics: one record per sample and metric, and the summary of all records."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from eval.core.audio import Audio, read_audio
from eval.core.intervals import Interval, bootstrap_interval
from eval.core.manifest import Sample, resolve_media
from eval.core.video import Video, read_video

ALL = "all"  # the slice of all samples
FRACTION = "fraction"  # unit of values in 0..1


@dataclass(frozen=True)
class Measurement:
    """Values of one metric for one sample: `values` are averaged, `detail` explains them (plain JSON)."""

    values: dict[str, float]
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """Meaning of a value. `better`: 1 if higher is better, -1 if lower is, 0 if neither."""

    better: int
    unit: str = ""  # FRACTION is shown in per cent
    text: str = ""


class Item:
    """A sample with its media, each file decoded once and only if a metric needs it.

    All properties raise ValueError, in one line, if the sample names no such file or it is unreadable.
    """

    def __init__(self, sample: Sample, root: Path) -> None:
        self.sample, self.root = sample, root

    def path(self, key: str) -> Path:
        relative = getattr(self.sample, key)
        if relative is None:
            raise ValueError(f"sample has no `{key}`")
        return resolve_media(self.root, relative, key)

    @cached_property
    def video(self) -> Video:
        return read_video(self.path("video"))

    @cached_property
    def video_or_image(self) -> Video:
        """The video, or the still image of a sample without a video."""
        still = self.sample.video is None and self.sample.image is not None
        return read_video(self.path("image")) if still else self.video

    @cached_property
    def reference_video(self) -> Video:
        return read_video(self.path("reference"))

    @cached_property
    def audio_path(self) -> Path:
        """The audio file, or the video that contains the audio stream."""
        return self.path("video" if self.sample.audio is None and self.sample.video else "audio")

    @cached_property
    def audio(self) -> Audio:
        return read_audio(self.audio_path)

    @cached_property
    def reference_audio(self) -> Audio:
        return read_audio(self.path("reference"))


class Metric(Protocol):
    """A metric of single samples. `scores` describes its values, in the order of the table's columns."""

    name: str
    scores: dict[str, Score]

    def describe(self) -> dict[str, Any]:
        """Return what is measured and how: version, backbone and weights if any, preprocessing."""
        ...

    def measure(self, item: Item) -> Measurement:
        """Score one sample. Raises ValueError, with the reason in one line, if that is impossible."""
        ...


@dataclass(frozen=True, kw_only=True)
class Record:
    """A line of results.jsonl. `dropped` is the reason if there are no values."""

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
    """A row of the table: a system on a slice. `num_samples` includes dropped ones, `num_scored` not."""

    system: str
    metric: str
    slice: str
    num_samples: int
    num_scored: int
    intervals: dict[str, Interval]
    notes: tuple[str, ...] = ()


class Aggregator:
    """Aggregates a stream of records; keeps only numbers, so that sets may be large."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, str], list[tuple[str, dict[str, float] | None]]] = {}
        self.dropped: list[dict[str, str]] = []

    def add(self, record: Record) -> None:
        for tag in (ALL, *dict.fromkeys(record.tags)):
            cell = self._groups.setdefault((record.system, record.metric, tag), [])
            cell.append((record.prompt, record.values))
        if record.dropped is not None:
            entry = {"id": record.id, "system": record.system, "metric": record.metric}
            self.dropped.append({**entry, "reason": record.dropped})

    def summarize(self, *, slices: Iterable[str] = (), seed: int = 0) -> list[Row]:
        """Return rows with 95 % intervals by system and metric: the full set first, then each slice.

        Args:
            slices: tags that get rows; none means every tag that occurs.
            seed: of the bootstrap. Samples that share a prompt are resampled together.
        """
        allowed = set(slices)
        rows = []
        for system, metric, tag in sorted(self._groups, key=lambda k: (k[0], k[1], k[2] != ALL, k[2])):
            if tag != ALL and allowed and tag not in allowed:
                continue
            cell = self._groups[system, metric, tag]
            scored = [(prompt, values) for prompt, values in cell if values is not None]
            names = dict.fromkeys(name for _, values in scored for name in values)
            intervals = {}
            for name in names:
                pairs = [(prompt, values[name]) for prompt, values in scored if name in values]
                prompts, numbers = zip(*pairs, strict=True)
                intervals[name] = bootstrap_interval(numbers, prompts, seed=seed)
            rows.append(
                Row(
                    system=system,
                    metric=metric,
                    slice=tag,
                    num_samples=len(cell),
                    num_scored=len(scored),
                    intervals=intervals,
                )
            )
        return rows
