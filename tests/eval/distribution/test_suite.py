import numpy as np
import pytest

from eval.distribution.config import SetsConfig
from eval.distribution.kid import kernel_distance
from eval.distribution.suite import SET_SCORES, compare_sets, score_inception


def normal(seed, num, dim=8, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1, (num, dim)).astype(np.float32)


def by_name(scores):
    return {score.name: score for score in scores}


def test_distances_are_better_lower_and_the_others_higher():
    lower = {"fd", "fid", "fvd", "fad", "fd_inf", "fid_inf", "fvd_inf", "fad_inf", "kid"}
    assert {name for name, score in SET_SCORES.items() if score.better == -1} == lower
    higher = {"precision", "recall", "density", "coverage", "is"}
    assert {name for name, score in SET_SCORES.items() if score.better == 1} == higher


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
        assert alone[name].interval.mean == pytest.approx(grouped[name].interval.mean)
        assert widths[1] > 1.15 * widths[0]


def test_inception_score_notes_more_classes_than_samples():
    p = np.eye(6)[np.arange(60) % 6]
    score = score_inception("toy", p, groups=None, seed=0)
    assert score.interval.mean == pytest.approx(6)
    assert score.notes == ()
    assert "at most 3" in score_inception("toy", np.eye(6)[:3], groups=None, seed=0).notes[0]
    assert score_inception("toy", np.eye(6)[:1], groups=None, seed=0).interval is None


def population(seed, num, rows, dim=8):
    """Videos of a population, each with rows that are near each other, as frames are."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(num, 1, dim))
    values = (centers + 0.2 * rng.normal(size=(num, rows, dim))).reshape(-1, dim)
    return values.astype(np.float32), np.repeat(np.arange(num), rows)


@pytest.mark.parametrize("rows", [1, 4, 16])
def test_rows_of_a_video_are_no_independent_samples(rows):
    """Two halves of one population: no distance, for any number of rows of each video."""
    off, found = [], {}
    for seed in range(8):
        (x, videos_x), (y, videos_y) = population(seed, 60, rows), population(100 + seed, 60, rows)
        scores = by_name(compare_sets("toy", x, y, videos_x=videos_x, videos_y=videos_y))
        for name, score in scores.items():
            found.setdefault(name, []).append(score.interval.mean)
        low, high = scores["kid_toy"].interval.bounds
        off.append(scores["kid_toy"].interval.mean / (high - low) * 4)
        for score in scores.values():
            assert (score.interval.num, score.interval.num_reference) == (60, 60)
            assert score.interval.num_groups == 60
    assert np.mean(np.square(off)) < 2  # standard errors from 0
    assert np.mean(found["coverage_toy"]) > 0.94  # exactly 1 - (1/2)^5 for any number of rows
    assert np.mean(found["coverage_toy"]) == pytest.approx(1 - 0.5**5, abs=0.03)
    assert np.mean(found["density_toy"]) == pytest.approx(1, abs=0.08)
    assert np.mean(found["precision_toy"]) > 0.85
    assert np.mean(found["recall_toy"]) > 0.85
    if rows > 1:  # as independent rows they would be two distant sets
        x, _ = population(0, 60, rows)
        y, _ = population(100, 60, rows)
        wrong = by_name(compare_sets("toy", x, y))
        assert wrong["coverage_toy"].interval.mean < 0.75
        assert wrong["kid_toy"].interval.mean > 2 * np.abs(found["kid_toy"]).max()


def test_sets_are_too_small_by_their_videos():
    (x, videos_x), (y, videos_y) = population(0, 5, 20), population(1, 30, 20)
    found = by_name(compare_sets("toy", x, y, videos_x=videos_x, videos_y=videos_y))
    assert "5 samples in 8 dimensions" in found["fd_toy"].notes[0]
    assert "5 samples against 30" in found["fd_toy"].notes[1]
    assert "expected at least 18 videos in 8 dimensions, got 5" in found["fd_inf_toy"].error
    assert "expected at least 6 videos, got 5" in found["coverage_toy"].error
    one = by_name(compare_sets("toy", x[:20], y, videos_x=videos_x[:20], videos_y=videos_y))
    assert "expected at least 2 videos, got 1" in one["kid_toy"].error
    with pytest.raises(ValueError, match="rows of a video must follow each other"):
        compare_sets("toy", x, y, videos_x=np.arange(100) % 5, videos_y=videos_y)


def test_the_number_of_neighbors_is_a_setting():
    x, y = normal(0, 100), normal(1, 100)
    narrow, wide = (
        by_name(compare_sets("toy", x, y, settings=SetsConfig(num_neighbors=k)))["coverage_toy"].interval.mean
        for k in (1, 10)
    )
    assert narrow == pytest.approx(0.5, abs=0.15)
    assert wide > 0.97
    plain, other = (
        by_name(compare_sets("toy", x, y, settings=SetsConfig(fd_inf_orders=n)))["fd_inf_toy"].interval
        for n in (4, 9)
    )
    assert plain.mean != other.mean


def test_inception_score_of_rows_of_videos():
    p = np.random.default_rng(0).dirichlet(np.ones(5), 30)
    rows, videos = np.repeat(p, 4, axis=0), np.repeat(np.arange(30), 4)
    found = score_inception("toy", rows, videos=videos, seed=0).interval
    alone = score_inception("toy", rows, seed=0).interval
    assert (found.num, found.num_groups, alone.num) == (30, 30, 120)
    assert found.mean == pytest.approx(alone.mean)
    assert found.high - found.low > 1.5 * (alone.high - alone.low)
    assert score_inception("toy", rows[:16], videos=videos[:16], seed=0).notes == (
        "4 samples for 5 classes: the score is at most 5",
    )
