"""Agreement of metrics with human votes: `python -m eval.human.agreement votes=FILE runs=DIR out=FOLDER`.

FILE contains votes (`eval/human/votes.py`); each DIR is the `out` of an `eval.run` whose systems and sample
ids are the votes' systems and items. Every score of single samples with a better direction is compared with
the votes of each axis. Writes agreement.md, .csv and .jsonl, with intervals over items.
"""

import csv
import json
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.core.intervals import Array
from eval.core.scored_runs import read_scored_runs
from eval.human.votes import VOTE_VALUES, Vote, read_votes
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import Config, opt
from src.core.markdown import markdown_table
from src.core.rng import numpy_generator

NUM_RESAMPLES = 1000

Scores = dict[str, dict[str, float]]
"""system -> item -> value of one metric; higher is better."""


@dataclass(frozen=True)
class Agreement:
    """A statistic with its 95 % interval over items; `num` is the number of pairs or systems."""

    value: float
    low: float
    high: float
    num: int


def measure_agreement(votes: list[Vote], scores: Scores, *, seed: int = 0) -> dict[str, Agreement]:
    """Return the agreement of one metric with the votes of one axis, by statistic.

    - pairwise_accuracy: fraction of items with a majority where the metric prefers the same system; equal
      values count half. Items with balanced votes are left out.
    - spearman_pairs, kendall_pairs: rank correlation over items of the metric's difference with the mean
      vote (Kendall's tau-b accounts for ties).
    - accuracy_systems, spearman_systems, kendall_systems: over systems, mean metric against net wins;
      correlations need three systems.

    Intervals are a bootstrap over items. Undefined statistics are absent.

    Raises:
        ValueError: no vote is on an item and systems that the metric has values for.
    """

    pairs = _build_pairs(votes, scores)
    if not len(pairs.item):
        raise ValueError("votes: no vote is on items that the metric has values for")
    rows_of = np.split(np.argsort(pairs.item, kind="stable"), np.bincount(pairs.item).cumsum()[:-1])
    rng = numpy_generator(seed, "agreement", len(rows_of))
    draws = [
        np.concatenate([rows_of[i] for i in rng.integers(len(rows_of), size=len(rows_of))])
        for _ in range(NUM_RESAMPLES)
    ]
    found = {}
    for name, (measure, count) in _MEASURES.items():
        value = measure(pairs)
        if value is not None:
            resampled = [each for rows in draws if (each := measure(pairs.take(rows))) is not None]
            low, high = np.quantile(resampled, [0.025, 0.975])
            found[name] = Agreement(value, float(low), float(high), count(pairs))
    return found


@dataclass(frozen=True)
class _PairTable:
    """One row for each item and pair of systems: indices, mean vote for A, the metric's two values."""

    item: NDArray[np.intp]
    a: NDArray[np.intp]
    b: NDArray[np.intp]
    vote: Array
    value_a: Array
    value_b: Array

    def take(self, rows: NDArray[np.intp]) -> "_PairTable":
        return _PairTable(*(values[rows] for values in vars(self).values()))


def _build_pairs(votes: list[Vote], scores: Scores) -> _PairTable:
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for vote in votes:
        a, b = sorted((vote.system_a, vote.system_b))
        if vote.item in scores.get(a, {}) and vote.item in scores.get(b, {}):
            sign = 1 if a == vote.system_a else -1
            values[vote.item, a, b].append(sign * VOTE_VALUES[vote.vote])
    keys = sorted(values)
    items = {item: code for code, item in enumerate(dict.fromkeys(item for item, _, _ in keys))}
    systems = {name: code for code, name in enumerate(sorted({n for _, a, b in keys for n in (a, b)}))}
    return _PairTable(
        np.array([items[item] for item, _, _ in keys], np.intp),
        np.array([systems[a] for _, a, _ in keys], np.intp),
        np.array([systems[b] for _, _, b in keys], np.intp),
        np.array([np.mean(values[key]) for key in keys]),
        np.array([scores[a][item] for item, a, _ in keys], float),
        np.array([scores[b][item] for item, _, b in keys], float),
    )


def pairwise_accuracy(pairs: _PairTable) -> float | None:
    """Return the fraction of items with a majority that the metric agrees with; its ties count half."""
    decided = pairs.vote != 0
    if not decided.any():
        return None
    preferred = np.sign(pairs.value_a - pairs.value_b)[decided] * np.sign(pairs.vote[decided])
    return float(((preferred + 1) / 2).mean())


def spearman(x: Array, y: Array) -> float | None:
    """Return the rank correlation with mean ranks for ties; None for fewer than 3 values or constant ones."""
    from scipy.stats import rankdata  # slow to import: not for --help

    if len(x) < 3 or not np.ptp(x) or not np.ptp(y):
        return None
    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])


def kendall(x: Array, y: Array) -> float | None:
    """Return Kendall's tau-b; None as for `spearman`."""
    from scipy.stats import kendalltau

    if len(x) < 3 or not np.ptp(x) or not np.ptp(y):
        return None
    return float(kendalltau(x, y).statistic)


def order_accuracy(x: Array, y: Array) -> float | None:
    """Return the fraction of pairs that x orders as y does; ties of x count half, ties of y are left out."""
    first, second = np.triu_indices(len(x), 1)
    order_y, order_x = np.sign(y[first] - y[second]), np.sign(x[first] - x[second])
    if not order_y.any():
        return None
    return float((((order_x * order_y)[order_y != 0] + 1) / 2).mean())


def _over_systems(measure: Callable[[Array, Array], float | None]) -> Callable[[_PairTable], float | None]:
    """Return `measure` applied to each system's mean value and net wins."""

    def over(pairs: _PairTable) -> float | None:
        codes = np.concatenate([pairs.a, pairs.b])
        counts = np.bincount(codes)
        values = np.bincount(codes, np.concatenate([pairs.value_a, pairs.value_b]))
        wins = np.bincount(codes, np.concatenate([pairs.vote, -pairs.vote]))
        present = counts > 0
        return measure(values[present] / counts[present], wins[present] / counts[present])

    return over


def _num_systems(pairs: _PairTable) -> int:
    return len(np.unique(np.concatenate([pairs.a, pairs.b])))


_MEASURES: dict[str, tuple[Callable[[_PairTable], float | None], Callable[[_PairTable], int]]] = {
    "pairwise_accuracy": (pairwise_accuracy, lambda pairs: int((pairs.vote != 0).sum())),
    "spearman_pairs": (lambda c: spearman(c.value_a - c.value_b, c.vote), lambda pairs: len(pairs.vote)),
    "kendall_pairs": (lambda c: kendall(c.value_a - c.value_b, c.vote), lambda pairs: len(pairs.vote)),
    "accuracy_systems": (_over_systems(order_accuracy), _num_systems),
    "spearman_systems": (_over_systems(spearman), _num_systems),
    "kendall_systems": (_over_systems(kendall), _num_systems),
}


@dataclass(frozen=True, kw_only=True)
class AgreementConfig(Config):
    """Settings of `eval.human.agreement`."""

    votes: str = opt("???", "votes as .jsonl or .csv (see eval/human/votes.py)")
    runs: tuple[str, ...] = opt((), "folders written by eval.run")
    out: str = opt("???", "folder for the tables")
    seed: int = opt(0, "seed of the bootstrap")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.runs:
            raise ValueError("runs: name at least one folder written by eval.run")


def compute_agreements(config: AgreementConfig) -> tuple[list[dict[str, Any]], list[str]]:
    """Return a record for each axis, metric, score and statistic, and notes on scores without votes.

    Raises:
        ValueError: invalid votes or runs, or no vote is on systems and items of the runs.
    """
    votes = read_votes(config.votes)
    systems, scores = read_scored_runs(config.runs)
    found, notes = [], []
    for axis in sorted({vote.axis for vote in votes}):
        axis_votes = [vote for vote in votes if vote.axis == axis]
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
                measured = measure_agreement(axis_votes, known, seed=config.seed)
            except ValueError as error:
                notes.append(f"{axis or 'votes'}: {metric}/{score}: {error}")
                continue
            for measure, value in measured.items():
                found.append(
                    {"axis": axis, "metric": metric, "score": score, "measure": measure, **asdict(value)}
                )
    if not found:
        raise ValueError(
            f"votes: none is on systems and items of the runs; systems of the runs: {', '.join(systems)}; "
            f"of the votes: {', '.join(sorted({n for v in votes for n in (v.system_a, v.system_b)}))}"
        )
    return found, notes


def agreement_table(found: list[dict[str, Any]]) -> str:
    """Return a Markdown table: a line for each axis and score, a column for each statistic."""
    cells: dict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
    for each in found:
        text = f"{each['value']:.3f} [{each['low']:.3f}, {each['high']:.3f}], n={each['num']}"
        cells[each["axis"], each["metric"], each["score"]][each["measure"]] = text
    rows = [[*(k or "–" for k in key), *(row.get(m, "–") for m in _MEASURES)] for key, row in cells.items()]
    return markdown_table(["axis", "metric", "score", *_MEASURES], rows)


def main(argv: list[str]) -> None:
    """Parse the command line and compute the agreement."""
    config = from_command_line(AgreementConfig, argv, __doc__)
    if config is None:
        return
    try:
        found, notes = compute_agreements(config)
        out = Path(config.out)
        out.mkdir(parents=True, exist_ok=True)
        text = "\n".join([agreement_table(found), *(f"- {note}" for note in notes)]).rstrip() + "\n"
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
