"""Random choices from uniform doubles alone, the same with every NumPy release.

NumPy keeps the bit stream of Philox stable between releases, but not the algorithms of
`Generator.choice` or `Generator.normal`; a world must give the same videos for years.
"""

from collections.abc import Sequence
from typing import TypeVar

from src.core.rng import numpy_generator

T = TypeVar("T")


class PortableRandom:
    """Random choices of one keyed stream."""

    def __init__(self, seed: int, stream: str, *counters: int) -> None:
        self._uniform = numpy_generator(seed, stream, *counters).random

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        return low + (high - low) * float(self._uniform())

    def chance(self, probability: float) -> bool:
        return float(self._uniform()) < probability

    def integer(self, low: int, high: int) -> int:
        """Return an integer in [low, high], both ends included."""
        return low + int(float(self._uniform()) * (high - low + 1))

    def pick(self, items: Sequence[T]) -> T:
        return items[int(float(self._uniform()) * len(items))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        out = list(items)
        for i in range(len(out) - 1, 0, -1):
            j = self.integer(0, i)
            out[i], out[j] = out[j], out[i]
        return out
