"""Power of a net win rate: items for a difference, difference for a number of items, rater variance.

An item's outcome is 1, 0 or -1 after the majority. With a fraction t of ties and a net win rate d its
variance is 1 - t - d^2; a two-sided test at level alpha has power 1 - beta at
n = (z_alpha/2 + z_beta)^2 (1 - t - d^2) / d^2 items (normal approximation).
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from eval.human.analysis.net_wins import BENCH_MINI, prompt_value, rater_sigma
from eval.human.analysis.preferences import Preference


@dataclass(frozen=True)
class Pilot:
    """Estimates from pilot votes on one axis: ties after the majority, net win rate, sigma of raters."""

    axis: str
    num_items: int
    num_votes: int
    tie: float
    difference: float
    no_majority: float
    rater_sigma: float


def num_items_for(difference: float, tie: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """Return the items at which a net win rate of `difference` (0..1) is found with probability `power`.

    Raises:
        ValueError: the difference is not in (0, 1 - tie].
    """
    if not 0 < difference <= 1 - tie:
        raise ValueError(
            f"difference: expected more than 0, at most 1 - tie = {1 - tie:g}, got {difference:g}"
        )
    return math.ceil(_factor(power, alpha) * (1 - tie - difference**2) / difference**2 - 1e-9)


def difference_for(num_items: int, tie: float, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return the smallest net win rate (0..1) that `num_items` items find with probability `power`."""
    factor = _factor(power, alpha)
    return math.sqrt(factor * (1 - tie) / (num_items + factor))


def half_width_for(num_items: int, tie: float, difference: float = 0.0, *, level: float = 0.95) -> float:
    """Return half the length of the interval of a net win rate, in points of 100."""
    z = NormalDist().inv_cdf(0.5 + level / 2)
    return 100 * z * math.sqrt(max(0.0, 1 - tie - difference**2) / num_items)


def num_items_for_width(
    half_width: float, tie: float, difference: float = 0.0, *, level: float = 0.95
) -> int:
    """Return the items at which half the interval is at most `half_width` points."""
    z = NormalDist().inv_cdf(0.5 + level / 2)
    return math.ceil((100 * z / half_width) ** 2 * (1 - tie - difference**2) - 1e-9)


def scaled_sigma(sigma: float, num_items: int, num_items_before: int = BENCH_MINI) -> float:
    """Return a sigma of raters at another number of items: its square falls as 1 / n."""
    return sigma * math.sqrt(num_items_before / num_items)


def num_items_for_sigma(
    points: float,
    sigma: float,
    num_items_before: int = BENCH_MINI,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
) -> int:
    """Return the items at which other raters on the same prompts find a net win rate of `points` of 100.

    `sigma` is the deviation of raters alone, in points, at `num_items_before`.
    """
    return math.ceil(num_items_before * _factor(power, alpha) * (sigma / points) ** 2 - 1e-9)


def estimate_from_pilot(preferences: Sequence[Preference], no_majority: str) -> list[Pilot]:
    """Return the estimates of every axis of pilot votes, absolute differences averaged over pairs."""
    groups: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    pairs: dict[tuple[str, str], str] = {}
    for each in preferences:
        groups[each.axis][each.item].append(each.value)
        pairs[each.axis, each.item] = f"{each.a}\0{each.b}"
    found = []
    for axis, votes in groups.items():
        outcomes = {item: prompt_value(values, no_majority) for item, values in votes.items()}
        known = {item: value for item, value in outcomes.items() if value is not None}
        by_pair: dict[str, list[float]] = defaultdict(list)
        for item, value in known.items():
            by_pair[pairs[axis, item]].append(value)
        found.append(
            Pilot(
                axis=axis,
                num_items=len(votes),
                num_votes=sum(map(len, votes.values())),
                tie=float(np.mean([value == 0 for value in known.values()])),
                difference=float(np.mean([abs(np.mean(values)) for values in by_pair.values()])),
                no_majority=float(np.mean([prompt_value(v, "drop") is None for v in votes.values()])),
                rater_sigma=rater_sigma(list(votes.values()), no_majority),
            )
        )
    return found


def _factor(power: float, alpha: float) -> float:
    normal = NormalDist()
    return (normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)) ** 2
