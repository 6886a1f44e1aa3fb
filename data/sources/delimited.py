"""Rows of a CSV file with the line of each: delimiter and encoding are detected, bad quoting is found."""

import codecs
import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.sources.captions import encoding_of, split_lines
from src.core.media_io.formats import IMAGE_TYPES, VIDEO_TYPES
from src.streaming.schema.bucket import DataError

DELIMITERS = (",", "\t", ";", "|")
QUOTE_HINT = 'put texts that hold the delimiter or quotes in quotes, with quotes inside doubled: "a ""b"", c"'


@dataclass(frozen=True)
class Row:
    """Values of one row by column; `reason` and `detail` if it cannot be used."""

    line: int
    values: dict[str, str]
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Record:
    """The text of one row: several lines where a quoted text holds line endings."""

    line: int
    text: str
    num_lines: int


def read_delimited(path: Path, path_column: str) -> tuple[list[str], Iterator[Row]]:
    """Return the header's names, trimmed, and the rows.

    The delimiter is the one of comma, tab, semicolon and bar that gives a header with `path_column`. Bytes
    that are not UTF-8 stay lone surrogates in their row.

    Raises:
        DataError: no such header, a column twice, bytes of UTF-16 without a mark, a quote that never closes.
    """
    records = list(_records(path, _decode(path)))
    if not records:
        raise DataError(f"{path}: empty; the first line must name the columns, with {path_column} among them")
    header, delimiter = _header(path, records[0], path_column)
    _check_quotes(path, records, delimiter)
    return header, _rows(records[1:], header, delimiter)


def _decode(path: Path) -> str:
    data = path.read_bytes()
    encoding = encoding_of(data)
    if b"\0" in data and encoding in ("utf-8", "utf-8-sig"):
        line = data[: data.index(b"\0")].count(b"\n") + 1
        raise DataError(f"{path}:{line}: a zero byte; save the list as UTF-8 (or UTF-16 with its mark)")
    if encoding == "utf-8-sig":
        data, encoding = data[len(codecs.BOM_UTF8) :], "utf-8"
    try:
        return data.decode(encoding, errors="surrogateescape" if encoding == "utf-8" else "strict")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not {encoding} text, byte {error.start}; save the list as UTF-8") from None


def _records(path: Path, text: str) -> Iterator[Record]:
    """Join the lines of each row. Blank lines between rows are dropped.

    Raises:
        DataError: a quote never closes, with the line where it opens.
    """
    delimiter = None
    held: list[str] = []
    begin, opened = 1, 0
    for number, line in enumerate(split_lines(text), 1):
        if delimiter is None:
            delimiter = max(DELIMITERS, key=line.count)
        inside = _ends_inside_quotes(line, delimiter, bool(held))
        if not held:
            begin = number
        if inside:
            opened = opened if held else number
            held.append(line)
        elif held:
            yield Record(begin, "\n".join([*held, line]), len(held) + 1)
            held = []
        elif line.strip():
            yield Record(number, line, 1)
    if held:
        raise DataError(f"{path}:{opened}: a quote opens here and never closes; {QUOTE_HINT}")


def _ends_inside_quotes(line: str, delimiter: str, inside: bool) -> bool:
    """Return whether a quoted field is open at the end of a line; only the start of a field opens one."""
    if '"' not in line:
        return inside
    at_start, i = not inside, 0
    while i < len(line):
        if inside:
            if line[i] == '"':
                if line[i + 1 : i + 2] == '"':
                    i += 1
                else:
                    inside = False
        elif line[i] == '"' and at_start:
            inside = True
        at_start = not inside and (line[i] == delimiter or (at_start and line[i] == " "))
        i += 1
    return inside


def _header(path: Path, record: Record, path_column: str) -> tuple[list[str], str]:
    found = {d: [name.strip() for name in _parse(record.text, d) or []] for d in DELIMITERS}
    fitting = [d for d in DELIMITERS if path_column in found[d]]
    if not fitting:
        names = max(found.values(), key=len)
        raise DataError(
            f"{path}:{record.line}: the first line must name the columns, with {path_column} among them; "
            f"got {names}"
        )
    header = found[fitting[0]]
    twice = sorted({name for name in header if header.count(name) > 1 and name})
    if twice:
        raise DataError(f"{path}:{record.line}: column {twice[0]!r} is repeated")
    return header, fitting[0]


def _check_quotes(path: Path, records: list[Record], delimiter: str) -> None:
    """Raise DataError where a quote that should have closed in its line swallows the rows that follow."""
    for record in records:
        if record.num_lines == 1:
            continue
        broken = _parse(record.text, delimiter) is None
        for offset, line in enumerate(record.text.split("\n")[1:], 1):
            kind = os.path.splitext(line.split(delimiter)[0].strip())[1].lower()
            if broken or (delimiter in line and kind in VIDEO_TYPES | IMAGE_TYPES):
                raise DataError(
                    f"{path}:{record.line}: a quote opens here and runs into the row of line "
                    f"{record.line + offset}; {QUOTE_HINT}"
                )


def _rows(records: list[Record], header: list[str], delimiter: str) -> Iterator[Row]:
    for record in records:
        fields = _parse(record.text, delimiter)
        if fields is None:
            yield Row(record.line, {}, "bad quoting", f"text after a closing quote; {QUOTE_HINT}")
        elif len(fields) > len(header):
            detail = f"{len(fields)} values for {len(header)} columns; {QUOTE_HINT}"
            yield Row(record.line, {}, "too many values", detail)
        else:
            yield Row(record.line, dict(zip(header, fields, strict=False)))


def _parse(text: str, delimiter: str) -> list[str] | None:
    """Return the values of one row; None where text follows a closing quote."""
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # captions may be longer than 128 KiB
    try:
        reader = csv.reader([text], delimiter=delimiter, strict=True, skipinitialspace=True)
        return next(reader, [])
    except csv.Error:
        return None
