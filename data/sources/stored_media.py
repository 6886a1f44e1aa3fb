"""Media and captions of an input: a file, a member of a tar, a row of a parquet or Arrow file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from data.config import ColumnNames
from data.sources.captions import captions_of_json, captions_of_text
from data.sources.folder import CAPTION_TYPES
from data.sources.listing import stamp_file
from data.sources.tars import read_range
from data.work_units import Input
from src.core.media_io.errors import MediaError

CHANGED = "changed while it was read"  # also of the media reader
# Beginnings of image files, for bytes that come without a name
_IMAGE_MAGIC = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG\r\n\x1a\n": ".png",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}


@dataclass(frozen=True)
class Texts:
    """Captions of an input, and what NAME.json tells besides."""

    captions: tuple[str, ...] = ()
    entries: dict[str, Any] = field(default_factory=dict)


def caption_stamps(root: Path, name: str) -> dict[str, Any]:
    """Return the stamps of NAME.txt and NAME.json next to a file, by key of the input."""
    stem = os.path.splitext(os.path.join(root, name))[0]
    found = {suffix: stamp_file(stem + suffix) for suffix in CAPTION_TYPES}
    return {f"caption_{suffix[1:]}": stamp for suffix, stamp in found.items() if "reason" not in stamp}


def read_texts(root: Path, item: Input, columns: ColumnNames) -> Texts:
    """Return the captions of a list, else those of NAME.txt and NAME.json together, each once.

    Raises:
        MediaError: a caption file that cannot be read, with the reason.
    """
    if item.get("captions"):
        return Texts(tuple(item["captions"]))
    captions: list[str] = []
    entries: dict[str, Any] = {}
    if "caption_txt" in item:
        captions += captions_of_text(*_caption_file(root, item, "txt"))
    if "caption_json" in item:
        more, entries = captions_of_json(*_caption_file(root, item, "json"), columns.caption)
        captions += more
    return Texts(tuple(dict.fromkeys(captions)), entries)


def _caption_file(root: Path, item: Input, suffix: str) -> tuple[bytes, str]:
    place = item[f"caption_{suffix}"]
    name = f"{os.path.splitext(os.path.basename(item['path']))[0]}.{suffix}"
    try:
        if "tar" in item:
            return read_range(root / item["tar"], *place), name
        return Path(os.path.splitext(root / item["path"])[0] + f".{suffix}").read_bytes(), name
    except OSError as error:
        raise MediaError("unreadable caption", f"{name}: {error}") from None


def container(root: Path, item: Input) -> Path:
    """Return the file on disk that holds an input."""
    return root / (item.get("tar") or item.get("parquet") or item["path"])


def check_unchanged(root: Path, item: Input) -> None:
    """Raise MediaError "changed while it was read" unless a file is as it was when it was listed."""
    found = stamp_file(container(root, item))
    expected = {key: item[key] for key in ("bytes", "mtime_ns")}
    if found != expected:
        now = found.get("bytes", found.get("reason"))
        detail = f"{expected['bytes']} bytes when listed, now {now}; re-run when it is complete"
        raise MediaError(CHANGED, detail)


@contextmanager
def open_stored(root: Path, item: Input) -> Iterator[Path]:
    """Yield the path of an input's media, for members and rows that of a temporary copy.

    Raises:
        MediaError: "unreadable" or "changed while it was read".
    """
    check_unchanged(root, item)
    if "tar" not in item and "parquet" not in item:
        yield root / item["path"]
        return
    try:
        data = _read_bytes(root, item)
    except OSError as error:
        raise MediaError("unreadable", str(error)) from None
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"media{suffix_of(item, data)}"
        path.write_bytes(data)
        yield path


def _read_bytes(root: Path, item: Input) -> bytes:
    if "tar" in item:
        return read_range(root / item["tar"], item["offset"], item["size"])
    from data.sources.arrow_tables import read_row  # pyarrow is optional

    return read_row(root / item["parquet"], item["mtime_ns"], item["group"], item["media"], item["row"])


def suffix_of(item: Input, data: bytes = b"") -> str:
    """Return the suffix of an input's media: of its name, else as its bytes begin; ".mp4" if unknown."""
    name = item.get("name", "") if "parquet" in item else item["path"]
    suffix = os.path.splitext(name)[1].lower()
    if suffix or not data:
        return suffix
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    return next((kind for magic, kind in _IMAGE_MAGIC.items() if data.startswith(magic)), ".mp4")
