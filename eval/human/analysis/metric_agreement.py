"""Agreement of a metric with the majority of human votes on one axis."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.core.clusters import bootstrap_counts
from eval.core.intervals import MIN_UNITS, Array, percentile_bounds
from eval.human.votes import Vote

NUM_RESAMPLES = 1000
MIN_DEFINED = 0.5  # fraction of resamples in which a statistic must be defined to have an interval
NO_MAJORITY = ("tie", "drop")
ANSWERS = ("a", "tie", "b")
OUTCOMES = np.array([1.0, 0.0, -1.0])  # of these answers

Scores = dict[str, dict[str, float]]
"""system -> item -> value of one metric; higher is better."""
Codes = NDArray[np.intp]


@dataclass(frozen=True)
class Agreement:
    """A statistic with its 95 % interval over items and raters; no bounds below 5 items.

    `num` is the number of pairs or systems, `num_items` and `num_raters` those that were drawn.
    """

    value: float
    low: float | None
    high: float | None
    num: int
    num_items: int
    num_raters: int


def measure_agreement(
    votes: list[Vote], scores: Scores, *, no_majority: str = "tie", seed: int = 0
) -> dict[str, Agreement]:
    """Return the agreement of one metric with the votes of one axis, by statistic.

    The answer with most votes is the outcome of an item (of each pair of systems on it).

    - pairwise_accuracy: fraction of items won by one system where the metric prefers the same; equal values
      count half. Ties are left out.
    - spearman_pairs, kendall_pairs: rank correlation over items of the metric's difference with the outcome
      1, 0, -1, each pair in both orientations, so that the order of systems' names does not matter
      (Kendall's tau-b accounts for ties).
    - accuracy_systems, spearman_systems, kendall_systems: over systems, mean metric against net wins;
      correlations need three systems.

    Intervals are a bootstrap over items and over raters, after which majorities are counted again. Undefined
    statistics are absent.

    Args:
        no_majority: outcome of an item on which two answers have most votes: "tie", or "drop" for none.

    Raises:
        ValueError: no vote is on an item and systems that the metric has values for.
    """
    table = _VoteTable.of(votes, scores)
    if not len(table.item):
        raise ValueError("votes: no vote is on items that the metric has values for")
    observed, draws, found = table.outcomes(no_majority), list(table.draw(no_majority, seed)), {}
    num_items, num_raters = len(set(table.item)), len(set(table.rater))
    for name, (measure, count) in MEASURES.items():
        value = measure(observed)
        if value is None:
            continue
        resampled = [each for pairs in draws if (each := measure(pairs)) is not None]
        enough = num_items >= MIN_UNITS and len(resampled) >= MIN_DEFINED * len(draws)
        low, high = percentile_bounds(resampled) if enough else (None, None)
        found[name] = Agreement(value, low, high, count(observed), num_items, num_raters)
    return found


@dataclass(frozen=True)
class _PairTable:
    """One row for each item and pair of systems: indices, outcome for A, the metric's two values."""

    a: Codes
    b: Codes
    outcome: Array
    value_a: Array
    value_b: Array

    def take(self, rows: Codes) -> "_PairTable":
        return _PairTable(*(values[rows] for values in vars(self).values()))

    @property
    def both_ways(self) -> tuple[Array, Array]:
        """The metric's differences and the outcomes, of each pair as (A, B) and as (B, A)."""
        difference = self.value_a - self.value_b
        return np.r_[difference, -difference], np.r_[self.outcome, -self.outcome]


@dataclass(frozen=True)
class _VoteTable:
    """Votes as codes: `row` of the pair table, `rater`, `answer` (0 A, 1 tie, 2 B); `item` of each pair."""

    row: Codes
    rater: Codes
    answer: Codes
    item: Codes
    pairs: _PairTable

    @classmethod
    def of(cls, votes: list[Vote], scores: Scores) -> "_VoteTable":
        keys, cast = dict[tuple[str, str, str], int](), []
        for number, vote in enumerate(votes):
            a, b = sorted((vote.system_a, vote.system_b))
            if vote.item not in scores.get(a, {}) or vote.item not in scores.get(b, {}):
                continue
            answer = ANSWERS.index(vote.vote)
            row = keys.setdefault((vote.item, a, b), len(keys))
            # a vote without a rater's name is a rater's of its own
            cast.append((row, vote.rater or number, answer if a == vote.system_a else 2 - answer))
        items = {item: code for code, item in enumerate(dict.fromkeys(item for item, _, _ in keys))}
        systems = {name: code for code, name in enumerate(sorted({n for _, a, b in keys for n in (a, b)}))}
        raters = {name: code for code, name in enumerate(dict.fromkeys(rater for _, rater, _ in cast))}
        pairs = _PairTable(
            np.array([systems[a] for _, a, _ in keys], np.intp),
            np.array([systems[b] for _, _, b in keys], np.intp),
            np.zeros(len(keys)),
            np.array([scores[a][item] for item, a, _ in keys], float),
            np.array([scores[b][item] for item, _, b in keys], float),
        )
        return cls(
            np.array([row for row, _, _ in cast], np.intp),
            np.array([raters[rater] for _, rater, _ in cast], np.intp),
            np.array([answer for _, _, answer in cast], np.intp),
            np.array([items[item] for item, _, _ in keys], np.intp),
            pairs,
        )

    def outcomes(
        self,
        no_majority: str,
        raters: NDArray[np.integer] | None = None,
        items: NDArray[np.integer] | None = None,
    ) -> _PairTable:
        """Return the pairs that have an outcome.

        Args:
            raters: how often each rater's votes count; once if not given.
            items: how often the pairs of each item occur.
        """
        weights = None if raters is None else raters[self.rater]
        counts = np.bincount(3 * self.row + self.answer, weights, minlength=3 * len(self.item))
        outcome, known = majority_outcomes(counts.reshape(-1, 3).astype(np.float64), no_majority)
        times = known.astype(np.intp) if items is None else known * items[self.item]
        pairs = _PairTable(**{**vars(self.pairs), "outcome": outcome})
        return pairs.take(np.repeat(np.arange(len(self.item)), times))

    def draw(self, no_majority: str, seed: int) -> Iterator[_PairTable]:
        """Yield the pairs of drawn items, with the majorities of drawn raters."""
        num_items, num_raters = int(self.item.max()) + 1, int(self.rater.max()) + 1
        items = bootstrap_counts([np.arange(num_items)], NUM_RESAMPLES, seed=2 * seed)
        raters = bootstrap_counts([np.arange(num_raters)], NUM_RESAMPLES, seed=2 * seed + 1)
        for item_counts, rater_counts in zip(items, raters, strict=True):
            yield self.outcomes(no_majority, rater_counts, item_counts)


def majority_outcomes(counts: Array, no_majority: str) -> tuple[Array, NDArray[np.bool_]]:
    """Return 1, 0 or -1 of each row of votes [n, (a, tie, b)], and whether it has an outcome.

    The answer with strictly the most votes wins. Without one the outcome is a tie, or with "drop" none; rows
    without votes have none.
    """
    most = counts.max(1, keepdims=True)
    decided = (counts == most).sum(1) == 1
    outcome = np.where(decided, OUTCOMES[counts.argmax(1)], 0.0)
    return outcome, (most[:, 0] > 0) & (decided | (no_majority == "tie"))


def pairwise_accuracy(pairs: _PairTable) -> float | None:
    """Return the fraction of decided pairs that the metric agrees with; its ties count half."""
    decided = pairs.outcome != 0
    if not decided.any():
        return None
    preferred = np.sign(pairs.value_a - pairs.value_b)[decided] * pairs.outcome[decided]
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
    return float(kendalltau(x, y, method="asymptotic").statistic)  # of the p value, which is not used


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
        if not len(codes):
            return None
        counts = np.bincount(codes)
        values = np.bincount(codes, np.concatenate([pairs.value_a, pairs.value_b]))
        wins = np.bincount(codes, np.concatenate([pairs.outcome, -pairs.outcome]))
        present = counts > 0
        return measure(values[present] / counts[present], wins[present] / counts[present])

    return over


def _num_systems(pairs: _PairTable) -> int:
    return len(np.unique(np.concatenate([pairs.a, pairs.b])))


MEASURES: dict[str, tuple[Callable[[_PairTable], float | None], Callable[[_PairTable], int]]] = {
    "pairwise_accuracy": (pairwise_accuracy, lambda pairs: int((pairs.outcome != 0).sum())),
    "spearman_pairs": (lambda pairs: spearman(*pairs.both_ways), lambda pairs: len(pairs.outcome)),
    "kendall_pairs": (lambda pairs: kendall(*pairs.both_ways), lambda pairs: len(pairs.outcome)),
    "accuracy_systems": (_over_systems(order_accuracy), _num_systems),
    "spearman_systems": (_over_systems(spearman), _num_systems),
    "kendall_systems": (_over_systems(kendall), _num_systems),
}
