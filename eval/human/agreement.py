"""Do metrics agree with people? `python -m eval.human.agreement votes=FILE runs=[DIR,...] out=FOLDER`.

FILE holds votes (`eval/human/votes.py`), each DIR is the `out` of an `eval.run` whose systems have the votes'
names and whose samples have their items as ids. Every value of single samples that knows which way is better
is held against the votes of each axis: agreement.md, .csv and .jsonl, with intervals over items.
"""

import csv
import json
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, rankdata

from eval.compare import read_runs
from eval.core.draws import generator
from eval.distribution.feature_arrays import Array
from eval.human.votes import VALUE, Vote, read_votes
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import opt

NUM_RESAMPLES = 1000

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


def accuracy_over(x: Array, y: Array) -> float | None:
    """Share of pairs that x puts in the order of y; a tie of x counts half, one of y not at all."""
    first, second = np.triu_indices(len(x), 1)
    asked, said = np.sign(y[first] - y[second]), np.sign(x[first] - x[second])
    if not asked.any():
        return None
    return float((((said * asked)[asked != 0] + 1) / 2).mean())


def _of_systems(measure: Callable[[Array, Array], float | None]) -> Callable[[_Cells], float | None]:
    """`measure` over systems of the mean value and the net wins."""

    def of(cells: _Cells) -> float | None:
        codes = np.concatenate([cells.a, cells.b])
        counts = np.bincount(codes)
        values = np.bincount(codes, np.concatenate([cells.value_a, cells.value_b]))
        wins = np.bincount(codes, np.concatenate([cells.vote, -cells.vote]))
        met = counts > 0
        return measure(values[met] / counts[met], wins[met] / counts[met])

    return of


def _num_systems(cells: _Cells) -> int:
    return len(np.unique(np.concatenate([cells.a, cells.b])))


_MEASURES: dict[str, tuple[Callable[[_Cells], float | None], Callable[[_Cells], int]]] = {
    "pairwise_accuracy": (pairwise_accuracy, lambda cells: int((cells.vote != 0).sum())),
    "spearman_pairs": (lambda c: spearman(c.value_a - c.value_b, c.vote), lambda cells: len(cells.vote)),
    "kendall_pairs": (lambda c: kendall(c.value_a - c.value_b, c.vote), lambda cells: len(cells.vote)),
    "accuracy_systems": (_of_systems(accuracy_over), _num_systems),
    "spearman_systems": (_of_systems(spearman), _num_systems),
    "kendall_systems": (_of_systems(kendall), _num_systems),
}


@dataclass(frozen=True, kw_only=True)
class AgreementConfig:
    """Which votes, which scores."""

    votes: str = opt("???", "votes as .jsonl or .csv (see eval/human/votes.py)")
    runs: tuple[str, ...] = opt((), "folders written by eval.run")
    out: str = opt("???", "folder for the tables")
    seed: int = opt(0, "seed of the bootstrap")

    def __post_init__(self) -> None:
        if not self.runs:
            raise ValueError("runs: name at least one folder written by eval.run")


def agreements(config: AgreementConfig) -> tuple[list[dict], list[str]]:
    """A record for each axis, metric, score and measure, and notes on scores that no vote is about.

    Raises:
        ValueError: for bad votes or runs, or where no score meets any vote.
    """
    votes = read_votes(config.votes)
    systems, scores = read_runs(config.runs)
    found, notes = [], []
    for axis in sorted({vote.axis for vote in votes}):
        own = [vote for vote in votes if vote.axis == axis]
        for metric, score in sorted({key for system in systems.values() for key in system.values}):
            better = scores[metric][score].better
            if not better:
                continue
            known = {
                name: {item: better * value for item, value in system.values[metric, score].items()}
                for name, system in systems.items()
                if (metric, score) in system.values
            }
            try:
                measured = agreement(own, known, seed=config.seed)
            except ValueError as error:
                notes.append(f"{axis or 'votes'}: {metric}/{score}: {error}")
                continue
            for measure, value in measured.items():
                found.append(
                    {"axis": axis, "metric": metric, "score": score, "measure": measure, **asdict(value)}
                )
    if not found:
        raise ValueError(
            f"votes: none is on systems and items of the runs; the runs know {', '.join(systems)}, the votes "
            f"{', '.join(sorted({n for v in votes for n in (v.system_a, v.system_b)}))}"
        )
    return found, notes


def table(found: list[dict]) -> str:
    """Markdown: a line for each axis and score, a column for each measure."""
    lines = ["| axis | metric | score | " + " | ".join(_MEASURES) + " |", "|---" * (3 + len(_MEASURES)) + "|"]
    cells: dict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
    for each in found:
        text = f"{each['value']:.3f} [{each['low']:.3f}, {each['high']:.3f}], n={each['num']}"
        cells[each["axis"], each["metric"], each["score"]][each["measure"]] = text
    for key, row in cells.items():
        lines.append(
            "| " + " | ".join([*(k or "–" for k in key), *(row.get(m, "–") for m in _MEASURES)]) + " |"
        )
    return "\n".join(lines) + "\n"


def main(argv: list[str]) -> None:
    config = from_command_line(AgreementConfig, argv, __doc__)
    if config is None:
        return
    try:
        found, notes = agreements(config)
        out = Path(config.out)
        out.mkdir(parents=True, exist_ok=True)
        text = "\n".join([table(found), *(f"- {note}" for note in notes)]).rstrip() + "\n"
        (out / "agreement.md").write_text(text, encoding="utf-8")
        lines = "".join(json.dumps(each) + "\n" for each in found)
        (out / "agreement.jsonl").write_text(lines, encoding="utf-8")
        with (out / "agreement.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, found[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(found)
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error
    print(text, end="")


if __name__ == "__main__":
    sys.exit(run_command(main))
