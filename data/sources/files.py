"""Records from media files: a folder, a list, WebDataset tars, a Hugging Face data set."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from data.config import FilesConfig
from data.sources.listing import Listing
from data.sources.media_records import FILES_VERSION, MediaFile, media_records
from data.sources.scan import list_files, root_of
from data.sources.stored_media import CHANGED, check_unchanged, open_stored, read_texts, suffix_of
from data.work_units import Input
from src.core.media_io.errors import MediaError
from src.core.media_io.formats import IMAGE_TYPES
from src.core.rng import key
from src.streaming.schema.part_writer import Rejection
from src.streaming.schema.records import ClipRecord


@dataclass(frozen=True)
class FilesSource:
    """Media files. An input is one file, member or row, or one stretch of it."""

    config: FilesConfig

    @cached_property
    def listing(self) -> Listing:
        return list_files(self.config)

    def splits(self) -> dict[str, list[Input]]:
        items = self.listing.items
        out: dict[str, list[Input]] = {"train": [], "val": []}
        val_paths = _val_paths({i["path"] for i in items if "reason" not in i}, self.config.val_fraction)
        for item in items:
            out["val" if item["path"] in val_paths else "train"].append(item)
        return out

    def notes(self) -> list[str]:
        return self.listing.notes

    def records(self, item: Input) -> Iterator[ClipRecord | Rejection]:
        root, name = root_of(self.config), self.name(item)
        try:
            if "reason" in item:
                raise MediaError(item["reason"], item.get("detail", ""))
            texts = read_texts(root, item, self.config.columns)
            if not texts.captions and self.config.captions == "required":
                raise MediaError("no caption", "captions=required")
            origin = {"path": item["path"]}
            rights = (
                item.get("license") or texts.entries.get(self.config.columns.license) or self.config.license
            )
            if rights:
                origin["license"] = str(rights)
            with open_stored(root, item) as path:
                file = MediaFile(path, name, texts.captions, origin, self.config.clip)
                reasons = set()
                for record in media_records(file, item):
                    if isinstance(record, Rejection):
                        reasons.add(record.reason)
                    yield record
            if CHANGED not in reasons:  # a file that grows while it is read is shorter than it will be
                check_unchanged(root, item)
        except MediaError as error:
            yield Rejection(name, error.reason, error.detail)

    def version(self) -> dict[str, Any]:
        settings = dataclasses.asdict(self.config)
        for name in ("path", "format", "root", "val_fraction"):
            del settings[name]  # paths change nothing, and splits are in the inputs
        return {"files": FILES_VERSION, "config": settings}

    def name(self, item: Input) -> str:
        return item["path"] + (f"@{item['start']:g}" if item.get("start") else "")

    def unit_size(self, item: Input) -> int:
        return 256 if suffix_of(item) in IMAGE_TYPES or "reason" in item else 4

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self.config}  # the listing stays in the process that made it


def _val_paths(paths: set[str], fraction: float) -> set[str]:
    """Return the files kept for validation: those whose hash is below the fraction.

    With few files that may be none or all; then the file nearest to the threshold changes sides.
    """
    draws = {path: key(0, "data/val:" + path) / 2.0**63 for path in sorted(paths)}
    chosen = {path for path in draws if draws[path] < fraction}
    if fraction and len(draws) > 1:
        if not chosen:
            chosen = {min(draws, key=lambda path: draws[path])}
        elif len(chosen) == len(draws):
            chosen.remove(max(draws, key=lambda path: draws[path]))
    return chosen
