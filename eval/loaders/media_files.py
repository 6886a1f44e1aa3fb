"""Samples from a folder of media files, or from a CSV with a header."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from eval.core.manifest import MEDIA_KEYS, TEXT_KEYS, Sample

KINDS = {
    "video": {".mp4", ".mkv", ".webm", ".mov", ".avi", ".gif"},
    "audio": {".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a"},
    "image": {".png", ".jpg", ".jpeg", ".webp"},
}


def load_folder(folder: str | Path, *, system: str = "") -> Iterator[Sample]:
    """Yield a sample for every media file under a folder, sorted by name; the id is the path without suffix.

    Video, audio and image files with the same id become one sample. The prompt is the content of a .txt file
    of that name, else empty.

    Raises:
        ValueError: the folder is missing or has no media, or two files have the same kind and id.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"folder: no such folder: {folder}")
    found: dict[str, Sample] = {}
    for path in sorted(folder.rglob("*")):
        kind = next((name for name, endings in KINDS.items() if path.suffix.lower() in endings), None)
        relative = path.relative_to(folder)
        if kind is None or not path.is_file() or any(part.startswith(".") for part in relative.parts):
            continue
        key = relative.with_suffix("").as_posix()
        sample = found.get(key)
        if sample is None:
            text = path.with_suffix(".txt")
            prompt = text.read_text(encoding="utf-8").strip() if text.is_file() else ""
            sample = Sample(id=key, prompt=prompt, system=system)
        if getattr(sample, kind) is not None:
            raise ValueError(f"folder: {getattr(sample, kind)} and {relative} are both the {kind} of {key}")
        found[key] = replace(sample, **{kind: relative.as_posix()})
    if not found:
        raise ValueError(f"folder: no media file under {folder}")
    yield from found.values()


def load_csv(path: str | Path) -> Iterator[Sample]:
    """Yield a sample for every row of a CSV whose columns are manifest keys; `tags` are separated by , or ;.

    Raises:
        ValueError: `PATH:LINE: reason`, for an unknown column or a row of another length.
    """
    path = Path(path)
    known = {"id", "prompt", "system", "seed", "tags", *MEDIA_KEYS, *TEXT_KEYS}
    with open_text(path) as file:
        reader = csv.reader(file)
        header = [name.strip() for name in next(reader, [])]
        if "id" not in header:
            raise ValueError(f"{path}:1: expected a header with a column id, got {header}")
        if unknown := [name for name in header if name not in known]:
            raise ValueError(f"{path}:1: unknown column {unknown[0]!r}; known: {', '.join(sorted(known))}")
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise ValueError(f"{path}:{reader.line_num}: expected {len(header)} cells, got {len(cells)}")
            row = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
            try:
                seed = int(row["seed"]) if "seed" in row else None
            except ValueError:
                raise ValueError(
                    f"{path}:{reader.line_num}: seed: {row['seed']!r} is not an integer"
                ) from None
            tags = tuple(part.strip() for part in row.pop("tags", "").replace(";", ",").split(",") if part)
            row.pop("seed", None)
            yield Sample(**{"prompt": "", **row, "seed": seed, "tags": tuple(t for t in tags if t)})


def open_text(path: Path) -> TextIO:
    """Open a UTF-8 file with or without a byte order mark; raise ValueError if it is missing."""
    if not path.is_file():
        raise ValueError(f"no such file: {path}")
    return path.open(encoding="utf-8-sig", newline="")
