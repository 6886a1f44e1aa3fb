import numpy as np
import pytest

from eval.distribution.feature_arrays import VideoRows, linearized_interval
from eval.distribution.frechet import (
    Moments,
    frechet_distance,
)
from eval.distribution.kid import kernel_distance
from eval.distribution.prdc import compute_prdc
from tests.fixtures.feature_sets import normal


def test_the_linearized_interval_is_welchs():
    from scipy.stats import ttest_ind

    x, y = normal(0, 12, 1)[:, 0], normal(1, 30, 1, 2.0)[:, 0]
    expected = ttest_ind(x, y, equal_var=False).confidence_interval(0.95)
    found = linearized_interval(x.mean() - y.mean(), [x, -y])
    assert found.bounds == pytest.approx((expected.low, expected.high))
    assert linearized_interval(0.0, [x[:4], y]).bounds is None
    assert linearized_interval(0.0, [np.ones(9), np.zeros(9)]).bounds is None
    assert linearized_interval(0.0, [np.random.default_rng(0).lognormal(size=40), y]).skewed
    assert not linearized_interval(0.0, [np.arange(9.0), np.arange(20.0)]).skewed


def test_bad_features_are_named():
    x = normal(0, 20, 4)
    x[3, 1] = np.nan
    for call in (lambda: Moments.from_features(x), lambda: kernel_distance(x, x), lambda: compute_prdc(x, x)):
        with pytest.raises(ValueError, match="1 of 20 rows are not finite, first row 3"):
            call()
    good = normal(0, 5, 4)
    with pytest.raises(ValueError, match="expected at least 6 rows, got 5"):
        compute_prdc(good, normal(0, 20, 4))
    with pytest.raises(ValueError, match="two or more rows, got 1"):
        frechet_distance(Moments.from_features(good[:1]), Moments.from_features(good))
    for call in (kernel_distance, compute_prdc):
        with pytest.raises(ValueError, match="feature dimension mismatch: 4 vs 3"):
            call(normal(0, 20, 4), normal(0, 20, 3))


def test_rows_of_videos():
    rows = VideoRows.of([0, 0, 0, 1, 2, 2], 6)
    assert rows.rows_of(np.array([2, 0])).tolist() == [4, 5, 0, 1, 2]
    assert [(each.start, each.stop) for each in rows.blocks(3)] == [(0, 3), (3, 6)]
    assert [(each.start, each.stop) for each in rows.blocks(2)] == [(0, 3), (3, 4), (4, 6)]
    assert [(each.start, each.stop) for each in VideoRows.of(None, 5).blocks(2)] == [(0, 2), (2, 4), (4, 5)]
    assert (rows.num, rows.single, VideoRows.of(None, 5).single) == (3, False, True)
    with pytest.raises(ValueError, match="must follow each other"):
        VideoRows.of(["a", "b", "a"], 3)
