import numpy as np
import pytest

from eval.core.intervals import bootstrap_interval, wilson_bounds


def test_the_bootstrap_agrees_with_the_normal_interval():
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    interval = bootstrap_interval(values)
    half = 1.96 * values.std() / 20
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.03)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.03)
    assert (interval.num, interval.num_groups) == (400, 400)


def test_coverage_is_about_the_nominal_one():
    rng = np.random.default_rng(1)
    hits = 0
    for trial in range(200):
        interval = bootstrap_interval(rng.random(80) < 0.7, num_resamples=400, seed=trial)
        hits += interval.low <= 0.7 <= interval.high
    assert 0.88 <= hits / 200 <= 0.99


def test_grouped_samples_are_drawn_together():
    values = np.repeat(np.random.default_rng(2).normal(size=50), 8)
    alone = bootstrap_interval(values)
    grouped = bootstrap_interval(values, np.repeat(np.arange(50), 8))
    assert grouped.num_groups == 50
    ratio = (grouped.high - grouped.low) / (alone.high - alone.low)
    assert ratio == pytest.approx(8**0.5, rel=0.15)


def test_one_group_is_not_certainty():
    values = np.random.default_rng(3).normal(size=40)
    assert bootstrap_interval(values, ["a prompt"] * 40) == bootstrap_interval(values)


def test_all_right_is_not_certainty():
    interval = bootstrap_interval(np.ones(64))
    assert interval.method == "wilson"
    assert interval.high == 1.0
    assert interval.low == pytest.approx(0.943, abs=2e-3)
    assert bootstrap_interval(np.zeros(64)).high == pytest.approx(0.057, abs=2e-3)


def test_wilson_against_published_values():
    # Newcombe (1998), table I, method 3: 81 of 263, 15 of 148, 1 of 29
    for successes, num, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (1, 29, 0.0061, 0.1718),
    ):
        assert wilson_bounds(successes, num) == pytest.approx((low, high), abs=1e-4)


def test_seeded_and_refusing():
    values = np.arange(30.0)
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_interval([])
    with pytest.raises(ValueError, match="1 of 2 are not finite"):
        bootstrap_interval([1.0, float("nan")])
    with pytest.raises(ValueError, match="labels for"):
        bootstrap_interval([1.0, 2.0], ["a"])
