import numpy as np
import pytest

from eval.distribution.kid import kernel_distance
from eval.distribution.suite import compare_sets, score_inception


def normal(seed, num, dim=8, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1, (num, dim)).astype(np.float32)


def by_name(scores):
    return {score.name: score for score in scores}


def test_all_numbers_with_intervals_around_them():
    found = by_name(compare_sets("toy", normal(0, 300), normal(1, 300, shift=0.5)))
    kinds = "fd", "fd_inf", "kid", "precision", "recall", "density", "coverage"
    assert list(found) == [f"{kind}_toy" for kind in kinds]
    for score in found.values():
        assert score.error is None
        assert score.notes == ()
        assert score.interval.low < score.interval.mean < score.interval.high
    widths = [found[name].interval.high - found[name].interval.low for name in ("fd_toy", "fd_inf_toy")]
    assert widths[0] < widths[1]
    assert found["fd_toy"].interval.low < 8 * 0.25 < found["fd_toy"].interval.high


def test_small_sets_are_refused_or_warned_of():
    found = by_name(compare_sets("toy", normal(0, 8), normal(1, 9)))
    assert "8 samples in 8 dimensions" in found["fd_toy"].notes[0]
    assert "8 samples against 9" in found["fd_toy"].notes[1]
    assert found["fd_inf_toy"].interval is None
    assert "at least 18 rows" in found["fd_inf_toy"].error
    one = by_name(compare_sets("toy", normal(0, 1), normal(1, 9)))
    assert all(score.interval is None for score in one.values())
    assert "got 1" in one["precision_toy"].error


def test_kid_from_sampled_pairs_notes_its_standard_error(monkeypatch):
    x, y = np.abs(normal(0, 300, 20)), np.abs(normal(1, 280, 20, shift=0.4))
    assert by_name(compare_sets("toy", x, y))["kid_toy"].notes == ()
    monkeypatch.setattr("eval.distribution.kid.SMALL", 0)
    monkeypatch.setattr("eval.distribution.kid.MANY", 0)
    monkeypatch.setattr("eval.distribution.kid.TOLERANCE", 1.0)
    error = kernel_distance(x, y).error
    assert error > 0
    (note,) = by_name(compare_sets("toy", x, y))["kid_toy"].notes
    assert f"standard error {error:.1e}" in note


def test_nan_is_refused_everywhere():
    bad = normal(0, 60)
    bad[5] = np.nan
    for score in compare_sets("toy", bad, normal(1, 60)):
        assert score.interval is None
        assert "not finite" in score.error


def test_groups_widen_intervals():
    x, y = np.repeat(normal(0, 40), 5, axis=0), normal(1, 200, shift=0.5)
    x = x + 0.01 * normal(2, 200)
    alone = by_name(compare_sets("toy", x, y))
    grouped = by_name(compare_sets("toy", x, y, groups_x=np.repeat(np.arange(40), 5)))
    for name in ("fd_toy", "kid_toy", "precision_toy"):
        widths = [found[name].interval.high - found[name].interval.low for found in (alone, grouped)]
        assert alone[name].interval.mean == grouped[name].interval.mean
        assert widths[1] > 1.15 * widths[0]


def test_inception_score_notes_more_classes_than_samples():
    p = np.eye(6)[np.arange(60) % 6]
    score = score_inception("toy", p, groups=None, seed=0)
    assert score.interval.mean == pytest.approx(6)
    assert score.notes == ()
    assert "at most 3" in score_inception("toy", np.eye(6)[:3], groups=None, seed=0).notes[0]
    assert score_inception("toy", np.eye(6)[:1], groups=None, seed=0).interval is None
