"""Anybody's films as a manifest: a folder of files, or a CSV with a header."""

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


def from_folder(folder: str | Path, *, system: str = "") -> Iterator[Sample]:
    """Every media file under a folder, in the order of names; the id is the path without its ending.

    A film and a sound (or picture) that share an id become one sample. Prompts are empty: file names are
    no prompts. A text file of the same name gives the prompt.

    Raises:
        ValueError: for a missing folder, one without media, or two files of one kind and id.
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


def from_csv(path: str | Path) -> Iterator[Sample]:
    """Rows of a CSV whose header names manifest keys; `tags` are separated by commas or semicolons.

    Raises:
        ValueError: `PATH:LINE: what is wrong`, for an unknown column or a row that is too long or short.
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
                raise ValueError(f"{path}:{reader.line_num}: {len(cells)} cells under {len(header)} columns")
            row = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
            try:
                seed = int(row["seed"]) if "seed" in row else None
            except ValueError:
                raise ValueError(f"{path}:{reader.line_num}: seed: {row['seed']!r} is no integer") from None
            tags = tuple(part.strip() for part in row.pop("tags", "").replace(";", ",").split(",") if part)
            row.pop("seed", None)
            yield Sample(**{"prompt": "", **row, "seed": seed, "tags": tuple(t for t in tags if t)})


def open_text(path: Path) -> TextIO:
    """A UTF-8 file with or without a byte order mark; ValueError where there is none."""
    if not path.is_file():
        raise ValueError(f"no such file: {path}")
    return path.open(encoding="utf-8-sig", newline="")
