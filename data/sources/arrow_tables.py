"""Rows of parquet and Arrow files through pyarrow: descriptions without media bytes, and bytes row by row."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


class Table:
    """One parquet or Arrow file: its schema, and rows by group (row group or record batch).

    Raises:
        pyarrow.ArrowInvalid: neither.
    """

    def __init__(self, path: str) -> None:
        self._batches: list[Any] = []
        self._file: Any = None
        if path.endswith(".parquet"):
            self._file = pq.ParquetFile(path, memory_map=True)
            self.schema, self.num_groups = self._file.schema_arrow, self._file.num_row_groups
            return
        mapped = pa.memory_map(path)
        try:
            reader = pa.ipc.open_stream(mapped)  # what datasets.save_to_disk writes
            self._batches = list(reader)
        except pa.ArrowInvalid:
            reader = pa.ipc.open_file(mapped)
            self._batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        self.schema, self.num_groups = reader.schema, len(self._batches)

    def rows(
        self, group: int, media: str, others: list[str]
    ) -> Iterator[tuple[str | None, bool, dict[str, Any]]]:
        """Yield of each row of a group: the path of its media, whether it holds bytes, other values."""
        kind = self.schema.field(media).type
        has_path = pa.types.is_struct(kind) and "path" in [field.name for field in kind]
        complete = self._all_have_bytes(group, media)
        columns = [f"{media}.path"] if complete and has_path else [] if complete else [media]
        if not columns and not others:
            yield from ((None, True, {}) for _ in range(self._file.metadata.row_group(group).num_rows))
            return
        for batch in self._iterate(group, [*columns, *others]):
            values = batch.select(others).to_pylist() if others else [{}] * batch.num_rows
            column = batch.column(media) if columns else None
            for i, row in enumerate(values):
                yield _path_of(column, i), complete or _has_bytes(column, i), dict(row)

    def media_bytes(self, group: int, media: str) -> Iterator[bytes]:
        """Yield the bytes of each row of a group."""
        for batch in self._iterate(group, [media]):
            column = batch.column(media)
            for i in range(batch.num_rows):
                data = column.field("bytes")[i] if pa.types.is_struct(column.type) else column[i]
                yield bytes(data.as_buffer()) if data.is_valid else b""

    def _all_have_bytes(self, group: int, media: str) -> bool:
        """Return whether the statistics of a row group count no row without bytes: none need be read then."""
        if self._file is None or not is_media(self.schema.field(media).type):
            return False
        details = self._file.metadata.row_group(group)
        for i in range(details.num_columns):
            column = details.column(i)
            if column.path_in_schema in (media, f"{media}.bytes") and column.statistics is not None:
                return bool(column.statistics.has_null_count and column.statistics.null_count == 0)
        return False

    def _iterate(self, group: int, names: list[str]) -> Iterator[Any]:
        if self._file is None:
            yield self._batches[group].select([name.split(".")[0] for name in names])
        else:
            yield from self._file.iter_batches(batch_size=16, row_groups=[group], columns=names)


def is_binary(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def is_media(kind: Any) -> bool:
    """Return whether a column's type can hold media: bytes, or a struct of them (Video, Image)."""
    return is_binary(kind) or (pa.types.is_struct(kind) and "bytes" in [field.name for field in kind])


def _path_of(column: Any, i: int) -> str | None:
    if column is None or is_binary(column.type):
        return None
    if not pa.types.is_struct(column.type):
        value = column[i].as_py()
        return None if value is None else str(value)
    if "path" not in [field.name for field in column.type]:
        return None
    value = column.field("path")[i].as_py()
    return None if value is None else str(value)


def _has_bytes(column: Any, i: int) -> bool:
    if is_binary(column.type):
        return bool(column[i].is_valid)
    if not is_media(column.type):
        return False
    return bool(column[i].is_valid and column.field("bytes")[i].is_valid)


class RowCursor:
    """The media of one group's rows in order: a later row is reached without reading the group again."""

    def __init__(self, path: Path, mtime_ns: int, group: int, media: str) -> None:
        self.key = (path, mtime_ns, group, media)
        self._next = 0
        self._rows = Table(str(path)).media_bytes(group, media)

    def find(self, row: int) -> bytes | None:
        """Return a row's bytes; None if the cursor is past it or the group ends before."""
        while self._next <= row:
            data = next(self._rows, None)
            self._next += 1
            if data is None or self._next > row:
                return data
        return None


_cursor: list[RowCursor] = []  # the one that this process read last


def read_row(path: Path, mtime_ns: int, group: int, media: str, row: int) -> bytes:
    """Return the media bytes of one row; OSError if there are none."""
    key = (path, mtime_ns, group, media)
    for _ in range(2):
        if not _cursor or _cursor[0].key != key:
            _cursor[:] = [RowCursor(*key)]
        data = _cursor[0].find(row)
        if data is not None:
            return data
        _cursor.clear()
    raise OSError(f"{path.name} has no row {row} in group {group}")
