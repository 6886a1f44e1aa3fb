"""Samples from a folder of media files, or from a CSV with a header."""

import csv
import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from eval.core.manifest import MEDIA_KEYS, TEXT_KEYS, Sample
from src.core.media_io.formats import is_hidden_folder, media_kind

LOG = logging.getLogger(__name__)


def load_folder(folder: str | Path, *, system: str = "") -> Iterator[Sample]:
    """Yield a sample for every media file under a folder, sorted by name; the id is the path without suffix.

    Video, audio and image files with the same id become one sample; animated images are videos. The prompt is
    the content of a .txt file of that name, else empty. Hidden and thumbnail folders are skipped, links are
    followed once; what is left out is counted in a warning.

    Raises:
        ValueError: the folder is missing or has no media, two files have the same kind and id, or a .txt file
            is not UTF-8.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"folder: no such folder: {folder}")
    found: dict[str, Sample] = {}
    skipped: Counter[str] = Counter()
    for path in _list_files(folder, skipped):
        kind = media_kind(path)
        if kind is None:
            continue
        relative = path.relative_to(folder)
        key = relative.with_suffix("").as_posix()
        sample = found.get(key) or Sample(id=key, prompt=_read_prompt(path), system=system)
        if getattr(sample, kind) is not None:
            raise ValueError(f"folder: {getattr(sample, kind)} and {relative} are both the {kind} of {key}")
        found[key] = replace(sample, **{kind: relative.as_posix()})
    if skipped:
        counts = ", ".join(f"{reason} {count}" for reason, count in sorted(skipped.items()))
        LOG.warning("folder: left out under %s: %s", folder, counts)
    if not found:
        raise ValueError(f"folder: no media file under {folder}")
    yield from found.values()


def _list_files(folder: Path, skipped: Counter[str]) -> list[Path]:
    """Return the files under a folder by name; counts what is left out in `skipped`."""
    files, known = [], set()
    for top, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(top)
        if (status.st_dev, status.st_ino) in known:
            skipped["link to a folder listed already"] += 1
            folders.clear()
            continue
        known.add((status.st_dev, status.st_ino))
        skipped.update("hidden or thumbnail folder" for name in folders if is_hidden_folder(name))
        folders[:] = sorted(name for name in folders if not is_hidden_folder(name))
        for name in names:
            path = Path(top, name)
            if name.startswith("."):
                skipped["hidden file"] += 1
            elif not path.is_file():
                skipped["dangling link" if path.is_symlink() else "not a file"] += 1
            elif any("\udc80" <= letter <= "\udcff" for letter in str(path)):
                skipped["name that is not UTF-8"] += 1
            else:
                files.append(path)
    return sorted(files)


def _read_prompt(media: Path) -> str:
    text = media.with_suffix(".txt")
    try:
        return text.read_text(encoding="utf-8-sig").strip() if text.is_file() else ""
    except UnicodeDecodeError as error:
        raise ValueError(f"{text}: not UTF-8, at byte {error.start}") from None


def load_csv(path: str | Path) -> Iterator[Sample]:
    """Yield a sample for every row of a CSV whose columns are manifest keys; `tags` are separated by , or ;.

    Raises:
        ValueError: `PATH:LINE: reason`, for an unknown column or a row of another length.
    """
    path = Path(path)
    known = {"id", "prompt", "system", "seed", "tags", *MEDIA_KEYS, *TEXT_KEYS}
    with open_text(path) as file:
        rows = read_csv_rows(path, file)
        header = [name.strip() for name in next(rows, (1, []))[1]]
        if "id" not in header:
            raise ValueError(f"{path}:1: expected a header with a column id, got {header}")
        if unknown := [name for name in header if name not in known]:
            raise ValueError(f"{path}:1: unknown column {unknown[0]!r}; known: {', '.join(sorted(known))}")
        for line, cells in rows:
            if len(cells) != len(header):
                hint = "; quote cells that contain commas" if len(cells) > len(header) else ""
                raise ValueError(f"{path}:{line}: expected {len(header)} cells, got {len(cells)}{hint}")
            row = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
            try:
                seed = int(row["seed"]) if "seed" in row else None
            except ValueError:
                raise ValueError(f"{path}:{line}: seed: {row['seed']!r} is not an integer") from None
            tags = tuple(part.strip() for part in row.pop("tags", "").replace(";", ",").split(",") if part)
            row.pop("seed", None)
            yield Sample(**{"prompt": "", **row, "seed": seed, "tags": tuple(t for t in tags if t)})


def read_csv_rows(path: Path, file: TextIO) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each row begins, and its cells; empty rows are skipped.

    Raises:
        ValueError: `PATH:LINE: reason`, with the line on which a quote that is never closed opens.
    """
    reader, line = csv.reader(file, strict=True), 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}:{line}: {error}, in the row that begins here (an open quote?)") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}:{line}: not UTF-8, at byte {error.start} of its block") from None


def open_text(path: Path) -> TextIO:
    """Open a UTF-8 file with or without a byte order mark; raise ValueError if it is missing."""
    if not path.is_file():
        raise ValueError(f"no such file: {path}")
    return path.open(encoding="utf-8-sig", newline="")
