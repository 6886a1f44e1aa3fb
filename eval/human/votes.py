"""Human votes on pairs of systems: the file format of a study.

Votes are lines of JSON, or rows of a CSV with the same names:
  {"item": "0007", "prompt": "...", "axis": "overall", "system_a": "x", "system_b": "y",
   "vote": "a" | "b" | "tie", "rater": "r1"}
`item` is the sample id that both systems have in common. One line is one rater's answer on one axis; `rater`
and `prompt` may be empty. Unknown keys are ignored, so a study may write more.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

REQUIRED = ("item", "system_a", "system_b", "vote")
VOTE_VALUES = {"a": 1.0, "tie": 0.0, "b": -1.0}


@dataclass(frozen=True, kw_only=True)
class Vote:
    """One rater's preference between two systems on one item."""

    item: str
    system_a: str
    system_b: str
    vote: str
    axis: str = ""
    rater: str = ""
    prompt: str = ""

    def __post_init__(self) -> None:
        if self.vote not in VOTE_VALUES:
            raise ValueError(f"vote: expected a, b or tie, got {self.vote!r}")
        if not self.item or self.system_a == self.system_b:
            raise ValueError(f"vote on {self.item!r}: needs an item and two different systems")


def read_votes(path: str | Path) -> list[Vote]:
    """Read the votes of a .csv or .jsonl file.

    Raises:
        ValueError: `PATH:LINE: reason`; also if a rater votes twice on an item, or there are no votes.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"votes: no such file: {path}")
    votes, seen = [], set[tuple[str, ...]]()
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, row in _read_rows(path, file):
            try:
                vote = _parse_vote(row)
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from None
            key = (vote.item, vote.axis, vote.rater, *sorted((vote.system_a, vote.system_b)))
            if vote.rater and key in seen:
                raise ValueError(f"{path}:{number}: rater {vote.rater!r} voted twice on {vote.item!r}")
            seen.add(key)
            votes.append(vote)
    if not votes:
        raise ValueError(f"{path}: contains no votes")
    return votes


def _parse_vote(row: Any) -> Vote:
    if not isinstance(row, dict):
        raise ValueError(f"expected a JSON object, got {type(row).__name__}")
    for key in REQUIRED:
        if row.get(key) is None:
            raise ValueError(f"{key}: missing; a vote needs {', '.join(REQUIRED)}")
    return Vote(**{key: str(row[key] or "") for key in Vote.__dataclass_fields__ if key in row})


def _read_rows(path: Path, file: TextIO) -> Iterator[tuple[int, Any]]:
    """Yield line numbers and parsed lines, without empty ones."""
    if path.suffix == ".csv":
        reader = csv.DictReader(file)
        yield from ((reader.line_num, row) for row in reader)
        return
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}:{number}: not JSON ({error.msg})") from None
