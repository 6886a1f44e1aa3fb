"""The order of tasks within a pass: shuffled, no prompt twice in a row, repeats far from what they repeat."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def shuffle_apart(
    tasks: Sequence[T], prompt_of: Callable[[T], str], rng: np.random.Generator, *, before: str = ""
) -> list[T]:
    """Return the tasks in random order without two of one prompt in a row, as far as that is possible.

    A prompt that makes up more than half of what remains comes next; otherwise the draw is uniform over the
    tasks of other prompts. `before` is the prompt of the task before the first one.
    """
    remaining = [tasks[index] for index in rng.permutation(len(tasks))]
    counts = Counter(map(prompt_of, remaining))
    ordered: list[T] = []
    last = before
    while remaining:
        most, count = max(counts.items(), key=lambda entry: entry[1])
        forced = most != last and 2 * count > len(remaining)
        fits = [
            index
            for index, task in enumerate(remaining)
            if (prompt_of(task) == most if forced else prompt_of(task) != last)
        ] or list(range(len(remaining)))
        task = remaining.pop(fits[int(rng.integers(len(fits)))])
        last = prompt_of(task)
        counts[last] -= 1
        ordered.append(task)
    return ordered


def insert_repeats(
    ordered: list[T],
    repeats: Sequence[tuple[T, T]],
    prompt_of: Callable[[T], str],
    rng: np.random.Generator,
) -> list[T]:
    """Return the tasks with each (original, repeat) pair's repeat inserted after its original.

    The distance is at least a third of the pass where a place is free whose neighbors have other prompts;
    else the farthest such place, else the end.
    """
    result = list(ordered)
    for original, repeat in repeats:
        start = next(index for index, task in enumerate(result) if task is original) + 1
        prompt = prompt_of(repeat)
        free = [
            index
            for index in range(start + 1, len(result) + 1)
            if prompt_of(result[index - 1]) != prompt
            and (index == len(result) or prompt_of(result[index]) != prompt)
        ]
        far = [index for index in free if index - start >= len(ordered) // 3]
        place = far[int(rng.integers(len(far)))] if far else free[-1] if free else len(result)
        result.insert(place, repeat)
    return result


def adjacent_repeats(prompts: Sequence[str]) -> int:
    """Return how often a prompt follows itself."""
    return sum(a == b for a, b in pairwise(prompts))
