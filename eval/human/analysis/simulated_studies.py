"""Simulated studies with known answers: coverage of intervals, and votes that adaptive selection saves."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial, prod

import numpy as np
from numpy.typing import NDArray

from eval.human.analysis.adaptive import Pair, allocate_items, is_precise
from eval.human.analysis.bradley_terry import Strengths, fit_strengths, outcome_probabilities
from eval.human.analysis.net_wins import item_outcomes, net_win_interval, prompt_value
from src.core.rng import numpy_generator

Array = NDArray[np.float64]
OUTCOMES = np.array([1, -1, 0])
MAX_ROUNDS = 400


@dataclass(frozen=True)
class NetWinTrial:
    """One simulated study of two systems: true net win rate, estimate and interval, in points."""

    truth: float
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class StoppedStudy:
    """One study that ran until its intervals were short: votes, and which true strengths they contain."""

    num_votes: int
    num_rounds: int
    contained: tuple[bool, ...]
    half_width: float


def simulate_net_win(
    index: int,
    *,
    num_prompts: int = 100,
    samples_per_prompt: int = 2,
    num_raters: int = 3,
    strength: float = 0.4,
    tie: float = -0.5,
    prompt_deviation: float = 1.0,
    no_majority: str = "tie",
    seed: int = 0,
) -> NetWinTrial:
    """Simulate one study and its interval; prompts shift the difference, and so do samples of a prompt."""
    rng = numpy_generator(seed, "human/net_win_trial", index)
    shifts = strength + rng.normal(0, prompt_deviation, num_prompts)
    samples = shifts[:, None] + rng.normal(0, prompt_deviation / 2, (num_prompts, samples_per_prompt))
    votes = _draw(outcome_probabilities(np.repeat(samples[..., None], num_raters, -1), tie), rng)
    values, clusters = item_outcomes(
        {f"{p}.{s}": votes[p, s].tolist() for p in range(num_prompts) for s in range(samples_per_prompt)},
        {f"{p}.{s}": str(p) for p in range(num_prompts) for s in range(samples_per_prompt)},
        no_majority,
    )
    bounds = net_win_interval(values, clusters, seed=seed)
    assert bounds.bounds is not None
    truth = true_net_win(strength, tie, prompt_deviation, num_raters, no_majority)
    return NetWinTrial(truth, bounds.mean, *bounds.bounds)


def true_net_win(
    strength: float, tie: float, prompt_deviation: float, num_raters: int, no_majority: str
) -> float:
    """Return the expected net win rate in points, by Gauss-Hermite quadrature over prompts."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    deviation = prompt_deviation * np.sqrt(1.25)
    p = outcome_probabilities(strength + deviation * nodes, tie)
    total = np.zeros(len(nodes))
    used = np.zeros(len(nodes))
    for wins in range(num_raters + 1):
        for losses in range(num_raters + 1 - wins):
            ties = num_raters - wins - losses
            ways = _multinomial(wins, losses, ties)
            chance = ways * p[:, 0] ** wins * p[:, 1] ** losses * p[:, 2] ** ties
            top = max(wins, losses, ties)
            unique = (wins, losses, ties).count(top) == 1
            value = ((wins == top) - (losses == top)) if unique else 0.0
            if not unique and no_majority == "mean":
                value = (wins - losses) / num_raters
            if unique or no_majority != "drop":
                total += chance * value
                used += chance
    # with dropped prompts the mean is over those that remain
    return float(100 * (weights @ total) / (weights @ used))


def simulate_until_precise(
    index: int,
    truth: Sequence[float],
    *,
    half_width: float,
    adaptive: bool,
    tie: float = -0.5,
    num_raters: int = 3,
    agreement: float = 0.6,
    first_round: int = 8,
    round_items: int = 100,
    seed: int = 0,
) -> StoppedStudy:
    """Simulate a study that stops when every strength's interval is short; uniform or adaptive pairs.

    With probability `agreement` a rater repeats the item's common answer, else answers alone; both have the
    model's probabilities, so that the true strengths are exact and the votes of an item are correlated.
    """
    values = np.asarray(truth, float) - np.mean(truth)
    num = len(values)
    pairs = list(combinations(range(num), 2))
    rng = numpy_generator(seed, f"human/stopped/{adaptive}", index, num)
    counts: dict[Pair, int] = dict.fromkeys(pairs, 0)
    first, second, outcomes, items = [], [], [], []
    chosen: dict[Pair, int] = dict.fromkeys(pairs, first_round)
    for number in range(MAX_ROUNDS):
        for pair, count in chosen.items():
            p = outcome_probabilities(np.full(count, values[pair[0]] - values[pair[1]]), tie)
            common = _draw(p, rng)
            own = _draw(np.repeat(p[:, None], num_raters, 1), rng)
            votes = np.where(rng.random(own.shape) < agreement, common[:, None], own)
            start = sum(counts.values())
            items.append(np.repeat(np.arange(start, start + count), num_raters))
            first.append(np.full(votes.size, pair[0]))
            second.append(np.full(votes.size, pair[1]))
            outcomes.append(votes.ravel())
            counts[pair] += count
        fitted = fit_strengths(
            [str(i) for i in range(num)],
            np.concatenate(first),
            np.concatenate(second),
            np.concatenate(outcomes),
            np.concatenate(items),
        )
        if is_precise(fitted, half_width):
            return _stopped(fitted, values, num_raters * sum(counts.values()), number + 1)
        chosen = (
            allocate_items(fitted.values, fitted.tie, counts, round_items)
            if adaptive
            else _uniform(pairs, counts, round_items)
        )
    raise ValueError(f"half_width: {half_width} was not reached in {MAX_ROUNDS} rounds")


def simulate_net_win_until_precise(
    index: int,
    *,
    half_width: float,
    strength: float = 0.4,
    tie: float = -0.5,
    prompt_deviation: float = 1.0,
    num_raters: int = 3,
    first_round: int = 50,
    round_items: int = 25,
    seed: int = 0,
) -> StoppedStudy:
    """Simulate a study of two systems that stops when the net win rate's interval is short."""
    rng = numpy_generator(seed, "human/net_win_stopped", index)
    values: list[float] = []
    truth = true_net_win(strength, tie, prompt_deviation, num_raters, "tie")
    for number in range(MAX_ROUNDS):
        count = first_round if number == 0 else round_items
        shifts = strength + rng.normal(0, prompt_deviation * np.sqrt(1.25), count)
        votes = _draw(outcome_probabilities(np.repeat(shifts[:, None], num_raters, 1), tie), rng)
        values += [prompt_value(row, "tie") or 0.0 for row in votes.tolist()]
        found = net_win_interval(np.array(values), [str(i) for i in range(len(values))])
        assert found.bounds is not None
        half = (found.bounds[1] - found.bounds[0]) / 2
        if half <= half_width:
            inside = found.bounds[0] <= truth <= found.bounds[1]
            return StoppedStudy(num_raters * len(values), number + 1, (inside,), half)
    raise ValueError(f"half_width: {half_width} was not reached in {MAX_ROUNDS} rounds")


def _stopped(fitted: Strengths, truth: Array, num_votes: int, num_rounds: int) -> StoppedStudy:
    widths = fitted.half_widths()
    contained = tuple(bool(each) for each in np.abs(fitted.values - truth) <= widths)
    return StoppedStudy(num_votes, num_rounds, contained, float(widths.max()))


def _uniform(pairs: Sequence[Pair], counts: dict[Pair, int], num_items: int) -> dict[Pair, int]:
    """Return the further items of a study that gives every pair as many."""
    total = sum(counts.values()) + num_items
    goal = [total // len(pairs) + (index < total % len(pairs)) for index in range(len(pairs))]
    return {
        pair: number - counts[pair] for pair, number in zip(pairs, goal, strict=True) if number > counts[pair]
    }


def _draw(probabilities: Array, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return outcomes 1, -1, 0 drawn from probabilities [..., 3] of win, loss and tie."""
    index = (rng.random(probabilities.shape[:-1])[..., None] > probabilities.cumsum(-1)).sum(-1)
    return OUTCOMES[np.minimum(index, 2)]


def _multinomial(*counts: int) -> int:
    return factorial(sum(counts)) // prod(map(factorial, counts))
