"""Do metrics agree with people? Correlations and pairwise accuracy against human votes, with intervals.

Votes are lines of JSON, or rows of a CSV with the same names:
  {"item": "0007", "prompt": "...", "axis": "overall", "system_a": "x", "system_b": "y",
   "vote": "a" | "b" | "tie", "rater": "r1"}
`item` is the sample id that both systems share. One line is one rater's answer on one axis; `rater` and
`prompt` may be empty. Unknown keys are kept out of the way, so that a study may write more.
"""

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, rankdata

from eval.draws import generator
from eval.quality.features import Array

VALUE = {"a": 1.0, "tie": 0.0, "b": -1.0}
NUM_RESAMPLES = 1000


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


Scores = dict[str, dict[str, float]]
"""system -> item -> value of one metric (more is better: negate what is not)."""


@dataclass(frozen=True)
class Agreement:
    """One number with its 95 % interval over items, and how many pairs or systems it rests on."""

    value: float
    low: float
    high: float
    num: int


def agreement(votes: list[Vote], scores: Scores, *, seed: int = 0) -> dict[str, Agreement]:
    """Agreement of one metric with the votes of one axis.

    - pairwise_accuracy: share of items with a majority where the metric prefers the same system; a metric
      that finds both equal gets half. Items whose votes balance are left out.
    - spearman_pairs, kendall_pairs: rank correlation over items of the metric's difference with the mean
      vote (Kendall's tau-b knows ties).
    - spearman_systems: over systems, mean metric against net wins; needs three systems.

    Intervals: whole items are drawn again. What cannot be computed is absent.
    """
    cells = _cells(votes, scores)
    if not len(cells.item):
        raise ValueError("agreement: no vote is on items that the metric has values for")
    rows_of = np.split(np.argsort(cells.item, kind="stable"), np.bincount(cells.item).cumsum()[:-1])
    rng = generator(seed, "agreement", len(rows_of))
    draws = [
        np.concatenate([rows_of[i] for i in rng.integers(len(rows_of), size=len(rows_of))])
        for _ in range(NUM_RESAMPLES)
    ]
    found = {}
    for name, (measure, count) in _MEASURES.items():
        value = measure(cells)
        if value is not None:
            again = [each for rows in draws if (each := measure(cells.at(rows))) is not None]
            low, high = np.quantile(again, [0.025, 0.975])
            found[name] = Agreement(value, float(low), float(high), count(cells))
    return found


@dataclass(frozen=True)
class _Cells:
    """One row for each item and pair of systems: codes, the mean vote for A, the metric's two values."""

    item: NDArray[np.intp]
    a: NDArray[np.intp]
    b: NDArray[np.intp]
    vote: Array
    value_a: Array
    value_b: Array

    def at(self, rows: NDArray[np.intp]) -> "_Cells":
        return _Cells(*(values[rows] for values in vars(self).values()))


def _cells(votes: list[Vote], scores: Scores) -> _Cells:
    tally: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for vote in votes:
        a, b = sorted((vote.system_a, vote.system_b))
        if vote.item in scores.get(a, {}) and vote.item in scores.get(b, {}):
            sign = 1 if a == vote.system_a else -1
            tally[vote.item, a, b].append(sign * VALUE[vote.vote])
    keys = sorted(tally)
    items = {item: code for code, item in enumerate(dict.fromkeys(item for item, _, _ in keys))}
    systems = {name: code for code, name in enumerate(sorted({n for _, a, b in keys for n in (a, b)}))}
    return _Cells(
        np.array([items[item] for item, _, _ in keys], np.intp),
        np.array([systems[a] for _, a, _ in keys], np.intp),
        np.array([systems[b] for _, _, b in keys], np.intp),
        np.array([np.mean(tally[key]) for key in keys]),
        np.array([scores[a][item] for item, a, _ in keys], float),
        np.array([scores[b][item] for item, _, b in keys], float),
    )


def pairwise_accuracy(cells: _Cells) -> float | None:
    """Ties of the metric count half, items without a majority not at all."""
    decided = cells.vote != 0
    if not decided.any():
        return None
    preferred = np.sign(cells.value_a - cells.value_b)[decided] * np.sign(cells.vote[decided])
    return float(((preferred + 1) / 2).mean())


def spearman(x: Array, y: Array) -> float | None:
    """Rank correlation with mean ranks for ties; None for fewer than 3 values or where one never varies."""
    if len(x) < 3 or not np.ptp(x) or not np.ptp(y):
        return None
    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])


def kendall(x: Array, y: Array) -> float | None:
    """Tau-b; None as for `spearman`."""
    if len(x) < 3 or not np.ptp(x) or not np.ptp(y):
        return None
    return float(kendalltau(x, y).statistic)


def _of_systems(cells: _Cells) -> float | None:
    codes = np.concatenate([cells.a, cells.b])
    counts = np.bincount(codes)
    values = np.bincount(codes, np.concatenate([cells.value_a, cells.value_b]))
    wins = np.bincount(codes, np.concatenate([cells.vote, -cells.vote]))
    met = counts > 0
    return spearman(values[met] / counts[met], wins[met] / counts[met])


def _num_systems(cells: _Cells) -> int:
    return len(np.unique(np.concatenate([cells.a, cells.b])))


_MEASURES: dict[str, tuple[Callable[[_Cells], float | None], Callable[[_Cells], int]]] = {
    "pairwise_accuracy": (pairwise_accuracy, lambda cells: int((cells.vote != 0).sum())),
    "spearman_pairs": (lambda c: spearman(c.value_a - c.value_b, c.vote), lambda cells: len(cells.vote)),
    "kendall_pairs": (lambda c: kendall(c.value_a - c.value_b, c.vote), lambda cells: len(cells.vote)),
    "spearman_systems": (_of_systems, _num_systems),
}
