"""Lists of media files: CSV and JSON Lines with a path, captions and a stretch of time in each row."""

import json
import math
import os
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from data.config import ColumnNames
from data.sources.captions import captions_of_value, decode_text
from data.sources.delimited import read_delimited
from data.sources.listing import Listing, is_utf8, printable, rejected_input, stamp_file
from data.work_units import Input
from src.core.media_io.errors import MediaError
from src.core.media_io.paths import OUTSIDE, resolve_inside
from src.streaming.schema.bucket import DataError

# What other lists call a column, by what it is called here
SYNONYMS = {
    "path": ("file", "filename", "file_name", "filepath", "video", "image", "media", "name", "url"),
    "caption": ("captions", "text", "prompt", "description", "txt", "label", "title"),
    "start": ("begin", "start_time", "start_s", "from"),
    "end": ("stop", "end_time", "end_s", "to"),
    "license": ("licence", "rights"),
}


def list_table(path: Path, format: str, root: Path, columns: ColumnNames) -> Listing:
    """Return the rows of a CSV or a JSONL file as inputs; rows of the same path and stretch are one input.

    A row that cannot be used becomes a rejected input named by its line.

    Args:
        format: "csv" or "jsonl".
        root: folder that paths are relative to and stay inside of.

    Raises:
        DataError: the list itself cannot be read, with its line.
    """
    if format == "jsonl":
        names, rows = _json_rows(path)
    else:
        header, delimited = read_delimited(path, columns.path)
        names = header
        rows = ((row.line, row.values, row.reason, row.detail) for row in delimited)
    items: dict[tuple[Any, ...], Input] = {}
    for line, values, reason, detail in rows:
        where = f"{printable(path.name)}:{line}"
        if reason:
            items[(where,)] = rejected_input(where, reason, detail)
            continue
        try:
            item = row_input(values, where, root, columns)
        except MediaError as error:
            items[(where,)] = rejected_input(where, error.reason, error.detail)
            continue
        captions = item.pop("captions", [])
        known = items.setdefault((item["path"], item.get("start", 0.0), item.get("end")), item)
        if captions:
            known.setdefault("captions", []).extend(captions)
    return Listing(list(items.values()), notes_of_columns(path.name, names, columns))


def row_input(values: dict[str, Any], where: str, root: Path, columns: ColumnNames) -> Input:
    """Return the input that a row describes.

    Raises:
        MediaError: "text is not UTF-8", "no path", "outside the folder", "bad time", "bad caption".
    """
    if not all(is_utf8(value) for value in values.values() if isinstance(value, str)):
        raise MediaError("caption is not UTF-8", "save the list as UTF-8")
    name = values.get(columns.path)
    name = name.strip() if isinstance(name, str) else ""
    if not name:
        raise MediaError("no path", f"column {columns.path} is empty")
    item: Input = {"path": name, **stamp_file(path_inside(root, name))}
    for key, column in (("start", columns.start), ("end", columns.end)):
        seconds = _seconds(values.get(column), column)
        if seconds is not None:
            item[key] = seconds
    if item.get("end") is not None and item["end"] <= item.get("start", 0.0):
        raise MediaError("bad time", f"end={item['end']:g} is not after start={item.get('start', 0.0):g}")
    texts = values.get(columns.caption)
    captions = captions_of_value(values.get("captions") if texts is None else texts, where)
    if any("\0" in caption for caption in captions):
        raise MediaError("caption has a zero byte", where)
    if captions:
        item["captions"] = captions
    if values.get(columns.license):
        item["license"] = str(values[columns.license]).strip()
    return item


def path_inside(root: Path, name: str) -> str:
    """Return the path of a file that a list names; MediaError as `resolve_inside`, not for missing files."""
    if os.path.isabs(name) and Path(name).is_relative_to(root.absolute()):
        name = os.path.relpath(name, root.absolute())
    try:
        resolve_inside(root, name)
    except MediaError as error:
        if error.reason == OUTSIDE:
            detail = f"{error.detail}; paths stay below {root}, files.root=FOLDER allows another"
            raise MediaError(error.reason, detail) from None
        if error.reason != "missing file":  # of which the file's stamp tells more
            raise
    except (OSError, ValueError):  # too long, or a zero byte: the file's stamp gives the reason
        pass
    return os.path.join(root, name)


def _seconds(value: Any, column: str) -> float | None:
    """Return a time in seconds from a number or a text of one; None where it is empty."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not (0 <= seconds < math.inf) or isinstance(value, bool):
        raise MediaError("bad time", f"{column}={value}: expected seconds from 0")
    return seconds


def notes_of_columns(name: str, found: list[str], columns: ColumnNames) -> list[str]:
    """Return a note that names the columns that are not read and what they may be meant for."""
    used = {columns.path, columns.caption, columns.start, columns.end, columns.license, "captions"}
    unknown = [column for column in found if column and column not in used]
    if not unknown:
        return []
    missing = {key: getattr(columns, key) for key in SYNONYMS if getattr(columns, key) not in found}
    described = []
    for column in unknown:
        key = next((key for key in missing if _may_mean(column, key)), None)
        hint = f" (did you mean {key}? files.columns.{key}={column} reads it)" if key else ""
        described.append(f"{column}{hint}")
    return [f"{name}: columns that are not read: {', '.join(described)}"]


def _may_mean(column: str, key: str) -> bool:
    name = column.lower()
    return name in (key, *SYNONYMS[key]) or bool(get_close_matches(name, [key], cutoff=0.75))


def _json_rows(path: Path) -> tuple[list[str], Iterator[tuple[int, dict[str, Any], str, str]]]:
    """Return the keys of all objects of a JSONL file, and (line, values, reason, detail) of each line."""
    try:
        lines = decode_text(path.read_bytes(), path.name).split("\n")
    except MediaError as error:
        raise DataError(f"{path}: {error.detail}: save the list as UTF-8") from None
    rows: list[tuple[int, dict[str, Any], str, str]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            rows.append((number, {}, "not JSON", str(error)))
            continue
        good = isinstance(value, dict)
        rows.append((number, value, "", "") if good else (number, {}, "not JSON", "expected an object"))
    return list(dict.fromkeys(key for row in rows for key in row[1])), iter(rows)
