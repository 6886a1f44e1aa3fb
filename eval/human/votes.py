"""Human votes on pairs of systems: what a study writes and what agreement is measured against.

Votes are lines of JSON, or rows of a CSV with the same names:
  {"item": "0007", "prompt": "...", "axis": "overall", "system_a": "x", "system_b": "y",
   "vote": "a" | "b" | "tie", "rater": "r1"}
`item` is the sample id that both systems share. One line is one rater's answer on one axis; `rater` and
`prompt` may be empty. Unknown keys are kept out of the way, so that a study may write more.
"""

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

VALUE = {"a": 1.0, "tie": 0.0, "b": -1.0}


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
        if self.vote not in VALUE:
            raise ValueError(f"vote: expected a, b or tie, got {self.vote!r}")
        if not self.item or self.system_a == self.system_b:
            raise ValueError(f"vote on {self.item!r}: needs an item and two different systems")


def read_votes(path: str | Path) -> list[Vote]:
    """Votes of a .csv or .jsonl file.

    Raises:
        ValueError: `PATH:LINE: what is wrong`; also for a rater who answers twice, and for no votes.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"votes: no such file: {path}")
    votes, seen = [], set[tuple[str, ...]]()
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows: Iterable[dict] = csv.DictReader(file) if path.suffix == ".csv" else _objects(path, file)
        for number, row in enumerate(rows, 2 if path.suffix == ".csv" else 1):
            try:
                vote = Vote(**{key: str(row[key] or "") for key in Vote.__dataclass_fields__ if key in row})
            except (TypeError, ValueError) as error:
                raise ValueError(f"{path}:{number}: {error}") from None
            key = (vote.item, vote.axis, vote.rater, *sorted((vote.system_a, vote.system_b)))
            if vote.rater and key in seen:
                raise ValueError(f"{path}:{number}: rater {vote.rater!r} has voted on {vote.item!r} before")
            seen.add(key)
            votes.append(vote)
    if not votes:
        raise ValueError(f"{path}: holds no vote")
    return votes


def _objects(path: Path, lines: Iterable[str]) -> Iterable[dict]:
    for number, line in enumerate(lines, 1):
        try:
            yield json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}:{number}: not JSON ({error.msg})") from None
