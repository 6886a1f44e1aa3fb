"""Elo ratings, as the mean over random orders of the votes: a single order's rating is mostly noise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from src.core.rng import numpy_generator


@dataclass(frozen=True)
class EloRating:
    """Mean and standard deviation of a system's final rating over orders of the votes."""

    system: str
    mean: float
    deviation: float


def elo_ratings(
    systems: Sequence[str],
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    outcomes: NDArray[np.intp],
    *,
    k: float = 4.0,
    scale: float = 400.0,
    initial: float = 1000.0,
    num_orders: int = 200,
    seed: int = 0,
) -> list[EloRating]:
    """Return the ratings of all systems; a tie counts as half a win.

    Args:
        k: points that one vote moves at most.
        num_orders: random orders of the votes, all followed at once.
    """
    rng = numpy_generator(seed, "human/elo", len(first))
    orders = np.stack([rng.permutation(len(first)) for _ in range(num_orders)])
    ratings = np.full((num_orders, len(systems)), initial)
    rows = np.arange(num_orders)
    results = (np.asarray(outcomes) + 1) / 2
    for step in range(len(first)):
        votes = orders[:, step]
        a, b = first[votes], second[votes]
        expected = 1 / (1 + 10 ** ((ratings[rows, b] - ratings[rows, a]) / scale))
        change = k * (results[votes] - expected)
        ratings[rows, a] += change
        ratings[rows, b] -= change
    return [
        EloRating(name, float(ratings[:, i].mean()), float(ratings[:, i].std()))
        for i, name in enumerate(systems)
    ]
