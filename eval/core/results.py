"""Results of metrics: one record per sample and metric, and the summary of all records."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from eval.core.audio import Audio, read_audio
from eval.core.clusters import clusters_of
from eval.core.intervals import Interval, Kind, mean_interval, ratio_interval
from eval.core.manifest import Sample, resolve_media
from eval.core.video import Video, read_video
from src.core.hashing import file_sha256
from src.core.suggestions import did_you_mean

ALL = "all"  # the slice of all samples
_LINE_ENDS = {code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)}
FRACTION = "fraction"  # unit of values in 0..1


@dataclass(frozen=True)
class Measurement:
    """Values of one metric for one sample: `values` are averaged, `detail` explains them (plain JSON).

    `pooled`: by name numerator and denominator of values that are pooled over samples instead, as sum of
    numerators / sum of denominators; a mean of such ratios would weigh rare events as much as frequent ones.
    The sample's own ratio is in `values` if the denominator is not 0.
    """

    values: dict[str, float]
    detail: dict[str, Any] = field(default_factory=dict)
    pooled: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """Meaning of a value. `better`: 1 if higher is better, -1 if lower is, 0 if neither."""

    better: int
    unit: str = ""  # FRACTION is shown in per cent
    text: str = ""

    def __post_init__(self) -> None:
        if self.better not in (-1, 0, 1):
            raise ValueError(f"better: expected -1, 0 or 1, got {self.better}")


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

    @property
    def frames_path(self) -> Path:
        """The file whose frames are measured: the video, or the still image of a sample without a video."""
        return self.path("image" if self.sample.video is None and self.sample.image is not None else "video")

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
    def reference_sha256(self) -> str:
        """Checksum of the reference's file; empty if the sample names none that exists."""
        if self.sample.reference is None:
            return ""
        try:
            return file_sha256(self.path("reference"))
        except (ValueError, OSError):
            return ""


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
    """A line of results.jsonl. `dropped` is the reason if there are no values.

    `reference`: sha256 of the sample's reference file, if it names one that exists.
    """

    id: str
    system: str
    prompt: str
    tags: tuple[str, ...]
    metric: str
    values: dict[str, float] | None
    detail: dict[str, Any]
    dropped: str | None
    pooled: dict[str, tuple[float, float]] = field(default_factory=dict)
    reference: str = ""

    def to_json(self) -> str:
        return json_line({**asdict(self), "tags": list(self.tags)})


def json_line(record: dict[str, Any]) -> str:
    """Return a record as JSON in one line, also for readers that end lines at U+2028 and the like."""
    return json.dumps(record, ensure_ascii=False).translate(_LINE_ENDS)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the table: a system on a slice. `num_samples` includes dropped ones, `num_scored` not.

    `reference_scored`, `reference_samples`: the same of the reference set, of distances between sets;
    `reference_key` tells reference sets apart.
    """

    system: str
    metric: str
    slice: str
    num_samples: int
    num_scored: int
    intervals: dict[str, Interval]
    notes: tuple[str, ...] = ()
    reference_scored: int | None = None
    reference_samples: int | None = None
    reference_key: str = ""


@dataclass(frozen=True)
class _Entry:
    """The numbers of one record."""

    id: str
    prompt: str
    values: dict[str, float] | None
    pooled: dict[str, tuple[float, float]]


class Aggregator:
    """Aggregates a stream of records; keeps only numbers, so that sets may be large."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, str], list[_Entry]] = {}
        self.dropped: list[dict[str, str]] = []

    def add(self, record: Record) -> None:
        entry = _Entry(record.id, record.prompt, record.values, record.pooled)
        for tag in (ALL, *dict.fromkeys(record.tags)):
            self._groups.setdefault((record.system, record.metric, tag), []).append(entry)
        if record.dropped is not None:
            self.dropped.append(
                {"id": record.id, "system": record.system, "metric": record.metric, "reason": record.dropped}
            )

    def summarize(
        self,
        *,
        scores: Mapping[str, Mapping[str, Score]] | None = None,
        slices: Iterable[str] = (),
        seed: int = 0,
    ) -> list[Row]:
        """Return rows with 95 % intervals by system and metric: the full set first, then each slice.

        Args:
            scores: meaning of the values by metric and name; fractions have other intervals than the rest.
            slices: tags that get rows; none means every tag that occurs.
            seed: of the bootstrap. Samples that share a prompt are a cluster.
        """
        allowed = set(slices)
        rows = []
        for system, metric, tag in sorted(self._groups, key=lambda k: (k[0], k[1], k[2] != ALL, k[2])):
            if tag != ALL and allowed and tag not in allowed:
                continue
            cell = self._groups[system, metric, tag]
            scored = [each for each in cell if each.values is not None]
            names = dict.fromkeys(name for each in scored for name in (*(each.values or {}), *each.pooled))
            known = (scores or {}).get(metric, {})
            rows.append(
                Row(
                    system=system,
                    metric=metric,
                    slice=tag,
                    num_samples=len(cell),
                    num_scored=len(scored),
                    intervals={
                        name: interval
                        for name in names
                        if (interval := _summarize_value(scored, name, known.get(name), seed)) is not None
                    },
                )
            )
        return rows


def _summarize_value(entries: list[_Entry], name: str, score: Score | None, seed: int) -> Interval | None:
    """Return the interval of a value over samples; None of a pooled one that counted nothing."""
    kind: Kind = "fraction" if score is not None and score.unit == FRACTION else "real"
    pooled = [(each, *each.pooled[name]) for each in entries if name in each.pooled]
    if pooled:
        found, tops, bottoms = zip(*pooled, strict=True)
        if not any(bottoms):
            return None
        groups = clusters_of([each.prompt for each in found], [each.id for each in found])
        return ratio_interval(tops, bottoms, groups, kind=kind)
    used = [each for each in entries if name in (each.values or {})]
    groups = clusters_of([each.prompt for each in used], [each.id for each in used])
    values = [(each.values or {})[name] for each in used]
    return mean_interval(values, groups, kind=kind, seed=seed)


def check_slices(slices: Iterable[str], tags: Collection[str]) -> None:
    """Raise ValueError if a slice is not among the tags that occur."""
    for name in slices:
        if name not in tags:
            raise ValueError(f"slices: no sample has the tag {name!r}; {did_you_mean(name, tags)}")
