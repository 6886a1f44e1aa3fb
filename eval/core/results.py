"""Results of metrics: one record per sample and metric, and the rows of tables."""

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from eval.core.audio import Audio, read_audio
from eval.core.intervals import Interval
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


def check_slices(slices: Iterable[str], tags: Collection[str]) -> None:
    """Raise ValueError if a slice is not among the tags that occur."""
    for name in slices:
        if name not in tags:
            raise ValueError(f"slices: no sample has the tag {name!r}; {did_you_mean(name, tags)}")
