"""Keyed integers are the same everywhere ; other keys give other ones."""

from itertools import pairwise

import numpy as np

from src.core import rng


def test_keys_are_the_recorded_ones() -> None:
    """A changed value changes every data set and every run."""
    assert rng.key(0, "a") == 3542076918876936315
    assert rng.key(7, "noise", 3, 12) == 3420295261663916375


def test_keys_depend_on_seed_stream_and_each_counter() -> None:
    keys = [
        rng.key(*each) for each in ((0, "a"), (1, "a"), (0, "b"), (0, "a", 0), (0, "a", 0, 1), (0, "a", 1, 0))
    ]
    assert len(set(keys)) == len(keys)
    assert rng.key(0, "a", 1, 23) != rng.key(0, "a", 12, 3)
    assert all(0 <= each < 2**63 for each in keys)


def test_generators_are_philox_of_the_key() -> None:
    drawn = rng.numpy_generator(3, "a", 1).random(4)
    assert np.array_equal(drawn, np.random.Generator(np.random.Philox(rng.key(3, "a", 1))).random(4))
    others = [rng.numpy_generator(*each).random(4) for each in ((3, "a", 2), (4, "a", 1), (3, "b", 1))]
    assert not any(np.array_equal(a, b) for a, b in pairwise([drawn, *others]))
