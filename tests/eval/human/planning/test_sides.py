import numpy as np
import pytest

from eval.human.planning.sides import balanced_flips, imbalance


@pytest.mark.parametrize("seed", range(5))
def test_every_group_is_balanced(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num = int(rng.integers(1, 300))
    rater, pair, item = rng.integers(0, 7, num), rng.integers(0, 4, num), rng.integers(0, 20, num)
    left = [[(r, p), r, 0] for r, p in zip(rater, pair, strict=True)]
    right = [[(p, i), p, 0] for p, i in zip(pair, item, strict=True)]
    flips = balanced_flips(left, right, seed=seed)
    for groups in (left, right):
        for level in range(3):
            assert max(map(abs, imbalance([each[level] for each in groups], flips).values())) <= 1
    assert (flips == balanced_flips(left, right, seed=seed)).all()
    if num > 20:
        assert (flips != balanced_flips(left, right, seed=seed + 100)).any()


def test_sides_are_random_not_alternating() -> None:
    groups = [[0] for _ in range(200)]
    flips = balanced_flips(groups, [[i] for i in range(200)], seed=3)
    runs = (np.diff(flips.astype(int)) == 0).sum()
    assert 60 < runs < 140
