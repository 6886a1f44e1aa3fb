"""Rows of CSV, JSON lines and JSON lists; majority of votes on an item."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from eval.human.votes import Vote
from src.core.atomic import atomic_write


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line numbers (of a .json file numbers of entries) and rows.

    Raises:
        ValueError: `PATH:LINE: reason`.
    """
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            yield from ((reader.line_num, row) for row in reader)
    elif path.suffix == ".json":
        yield from enumerate(read_json_list(path), 1)
    else:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    try:
                        yield number, json.loads(line)
                    except json.JSONDecodeError as error:
                        raise ValueError(f"{path}:{number}: not JSON ({error.msg})") from None


def read_json_list(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON list."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: not JSON ({error.msg})") from None
    if not isinstance(content, list) or not all(isinstance(each, dict) for each in content):
        raise ValueError(f"{path}: expected a JSON list of objects")
    return content


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows as CSV, or as JSON lines, by the suffix."""
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        if path.suffix == ".csv":
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def make_vote(where: str, item: Any, a: Any, b: Any, vote: str, **more: Any) -> Vote:
    """Return a vote; errors say where it is from."""
    try:
        return Vote(item=str(item), system_a=str(a), system_b=str(b), vote=vote, **more)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def majority(values: Sequence[float]) -> int:
    """Return the outcome (1, 0, -1) with strictly the most votes; 0 without one."""
    counts = sorted(((list(values).count(value), value) for value in (-1, 0, 1)), reverse=True)
    return int(counts[0][1]) if counts[0][0] > counts[1][0] else 0
