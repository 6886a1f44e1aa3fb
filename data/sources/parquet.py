"""Hugging Face data sets on disk: parquet files, or the Arrow files of `save_to_disk`.

A media column holds {"bytes", "path"} (features Video and Image), bytes, or a path.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa

from data.config import ColumnNames
from data.sources.arrow_tables import Table, is_media
from data.sources.listing import Listing, printable, rejected_input, stamp_file
from data.sources.tables import SYNONYMS, notes_of_columns, row_input
from data.work_units import Input
from src.core.media_io.errors import MediaError
from src.streaming.schema.bucket import DataError


def list_parquet(paths: list[Path], root: Path, columns: ColumnNames) -> Listing:
    """Return an input for each row of each file, in order.

    Args:
        root: folder that holds the files, and that paths in rows are relative to and stay inside of.
    """
    listing = Listing()
    for path in paths:
        file_name = path.relative_to(root).as_posix()
        name = printable(file_name)
        try:
            table = Table(str(path))
        except (pa.ArrowException, OSError) as error:
            listing.items.append(rejected_input(name, "unreadable", " ".join(str(error).split())))
            continue
        media = media_column(path, table.schema, columns)
        others = [other for other in table.schema.names if other != media]
        place = {**stamp_file(path), "parquet": file_name, "media": media}
        number = 0
        for group in range(table.num_groups):
            for row, (file, has_bytes, values) in enumerate(table.rows(group, media, others)):
                where = f"{name}/{number}"
                found = place | {"group": group, "row": row, "name": file or ""} if has_bytes else None
                listing.items.append(_row_input(values | {columns.path: file}, where, root, columns, found))
                number += 1
        for note in notes_of_columns("parquet", [*others, columns.path], columns):
            if note not in listing.notes:
                listing.notes.append(note)
    return listing


def media_column(path: Path, schema: Any, columns: ColumnNames) -> str:
    """Return the column that holds media: the one named as path, or else the only one that can.

    Raises:
        DataError: none, or several.
    """
    if columns.path in schema.names:
        return columns.path
    found = [field.name for field in schema if is_media(field.type)]
    if not found:
        found = [name for name in schema.names if name.lower() in SYNONYMS["path"]]
    if len(found) != 1:
        raise DataError(
            f"{path}: {'several columns' if found else 'no column'} of media among "
            f"{', '.join(schema.names)}; name it with files.columns.path=NAME"
        )
    return str(found[0])


def _row_input(
    values: dict[str, Any], where: str, root: Path, columns: ColumnNames, place: Input | None
) -> Input:
    """Return one row as an input: its bytes in the table (`place`), or a file inside `root`."""
    try:
        if place is None:
            return row_input(values, where, root, columns)
        item = row_input(values | {columns.path: "."}, where, root, columns)
        kept = {key: item[key] for key in ("start", "end", "captions", "license") if key in item}
        return {"path": where, **place, **kept}
    except MediaError as error:
        return rejected_input(where, error.reason, error.detail)
