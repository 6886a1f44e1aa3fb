"""Find media files and their captions: a folder with NAME.txt next to NAME.mp4, or a CSV."""

import csv
import io
import unicodedata
from pathlib import Path

from data.work_units import Input
from src.core.media_reader import IMAGE_TYPES, VIDEO_TYPES, MediaError
from src.streaming.schema.bucket import DataError

SIDE_FILES = {".txt", ".csv", ".tsv", ".json", ".jsonl", ".md", ".srt", ".vtt"}


def list_folder(root: Path) -> list[Input]:
    """Return every file below a folder by name; size and modification time make changes noticed."""
    items = []
    for path in sorted(root.rglob("*")):
        kind = path.suffix.lower()
        if not path.is_file() or path.name.startswith(".") or kind in SIDE_FILES:
            continue
        item: Input = {"path": path.relative_to(root).as_posix(), **_stamp(path)}
        if kind not in VIDEO_TYPES | IMAGE_TYPES:
            item |= {"reason": "unknown type", "detail": kind or "no suffix"}
        sidecar = path.with_suffix(".txt")
        if sidecar.is_file():
            item["caption_file"] = _stamp(sidecar)
        items.append(item)
    return items


def list_csv(path: Path) -> list[Input]:
    """Return the rows of a CSV with a header: path, and optionally caption, start, end (seconds).

    Rows with the same path and start are one input with several captions. A row that is not UTF-8,
    or has no path or a bad time, becomes a rejected input named by its line.

    Raises:
        DataError: the header has no column `path`.
    """
    text = path.read_bytes().decode("utf-8-sig", errors="surrogateescape")
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if not reader.fieldnames or "path" not in reader.fieldnames:
        raise DataError(
            f"{path}: the first line must name the columns, with path among them; got {reader.fieldnames}"
        )
    items: dict[tuple[str, float, float | None], Input] = {}
    for row in reader:
        item = _csv_item(row, path, reader.line_num)
        interval = (item["path"], item.get("start", 0.0), item.get("end"))
        caption = (row.get("caption") or "").strip()
        known = items.setdefault(interval, item)
        if caption and "reason" not in item:
            known.setdefault("captions", []).append(unicodedata.normalize("NFC", caption))
    return list(items.values())


def _csv_item(row: dict[str, str], path: Path, line: int) -> Input:
    """Return one row as an input; a broken row as an input that will be rejected."""
    where = f"{path.name}:{line}"
    values = [str(v) for v in row.values()]
    if any("\udc80" <= c <= "\udcff" for v in values for c in v):
        return {"path": where, "reason": "caption is not UTF-8", "detail": f"line {line}"}
    name = (row.get("path") or "").strip()
    if not name:
        return {"path": where, "reason": "no path", "detail": f"line {line}"}
    item: Input = {"path": name, **_stamp(path.parent / name)}
    try:
        item |= {k: float(row[k]) for k in ("start", "end") if (row.get(k) or "").strip()}
    except ValueError:
        return {
            "path": where,
            "reason": "bad time",
            "detail": f"start={row.get('start')}, end={row.get('end')}",
        }
    return item


def read_captions(media: Path) -> tuple[str, ...]:
    """Read captions from NAME.txt next to a file, one per line.

    Raises:
        MediaError: "caption is not UTF-8", with the position of the byte.
    """
    sidecar = media.with_suffix(".txt")
    if not sidecar.is_file():
        return ()
    try:
        text = sidecar.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MediaError("caption is not UTF-8", f"{sidecar.name}, byte {error.start}") from None
    return tuple(unicodedata.normalize("NFC", line.strip()) for line in text.splitlines() if line.strip())


def _stamp(path: Path) -> dict[str, int]:
    """Return size and modification time; zeros where the file is missing (it will be rejected)."""
    if not path.is_file():
        return {"bytes": 0, "mtime_ns": 0}
    found = path.stat()
    return {"bytes": found.st_size, "mtime_ns": found.st_mtime_ns}
