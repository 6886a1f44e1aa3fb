import numpy as np
import pytest
from scipy.stats import binom, bootstrap, skew, ttest_1samp

from eval.core.intervals import (
    _resampled_means,
    bca_bounds,
    is_skewed,
    linearized_ratios,
    mean_interval,
    percentile_bounds,
    ratio_interval,
    sample_skewness,
    t_bounds,
    t_quantile,
    wilson_bounds,
)


def normal(num, seed=0):
    return np.random.default_rng(seed).normal(3.0, 2.0, num)


@pytest.mark.parametrize(
    ("num", "kind", "method"),
    [
        (4, "real", "none, fewer than 5"),
        (5, "real", "t"),
        (49, "real", "t"),
        (50, "real", "BCa x2000"),
        (10_000, "real", "BCa x2000"),
        (10_001, "real", "t"),
        (50, "difference", "BCa x2000"),
    ],
)
def test_the_number_of_values_decides_the_method(num, kind, method):
    values = normal(num)
    found = mean_interval(values, kind=kind)
    assert (found.method, found.num, found.num_groups) == (method, num, num)
    assert found.mean == pytest.approx(values.mean())
    assert (found.bounds is None) == (num < 5)
    if method == "t":
        expected = ttest_1samp(values, 0).confidence_interval(0.95)
        assert found.bounds == pytest.approx((expected.low, expected.high))


def test_zeros_and_ones_are_a_proportion_unless_they_are_seconds_or_differences():
    values = np.arange(40) % 4 == 0
    assert mean_interval(values, kind="fraction").bounds == wilson_bounds(10, 40)
    assert mean_interval(values, kind="fraction").method == "wilson"
    for kind in ("real", "difference"):
        assert mean_interval(values, kind=kind).method == "t"
    assert mean_interval(values[:4], kind="fraction").bounds is None
    fractions = mean_interval(np.where(values, 1.0, 0.9), kind="fraction")
    assert fractions.method == "t"


@pytest.mark.parametrize("kind", ["real", "difference", "fraction"])
@pytest.mark.parametrize("value", [0.0, 0.25, 1.0])
def test_equal_values_are_no_certainty(kind, value):
    found = mean_interval(np.full(64, value), kind=kind)
    clustered = mean_interval(np.full(64, value), np.repeat(np.arange(16), 4), kind=kind)
    if kind == "fraction" and value != 0.25:
        assert found.bounds == wilson_bounds(round(64 * value), 64)
        assert clustered.bounds == wilson_bounds(round(16 * value), 16)  # of clusters, not of values
    else:
        assert found.bounds is clustered.bounds is None
        assert found.method == clustered.method == "none, all equal"
    one = mean_interval([value], kind=kind)
    assert (one.mean, one.bounds) == (value, None)


def test_bounds_of_fractions_stay_within_0_and_1():
    values = [0.999, 0.998, 0.7, 0.999, 0.997]
    assert mean_interval(values, kind="fraction").high == 1.0
    assert mean_interval(values).high > 1
    assert mean_interval(1 - np.array(values), kind="fraction").low == 0.0
    assert mean_interval(values, np.arange(5), kind="fraction").high == 1.0
    with_zero = ratio_interval([9, 8, 10, 9, 10, 3], [10] * 6, kind="fraction")
    assert with_zero.high == 1.0


def test_clusters_count_once_and_together():
    rng = np.random.default_rng(2)
    means = rng.normal(size=50)
    values, groups = np.repeat(means, 8), np.repeat(np.arange(50), 8)
    found = mean_interval(values, groups)
    assert (found.method, found.num, found.num_groups) == ("t over clusters", 400, 50)
    assert found.bounds == pytest.approx(t_bounds(means))
    # 0/1 too: never Wilson's, as if the members were independent
    hits = np.repeat(rng.random(20) < 0.5, 5)
    proportion = mean_interval(hits, np.repeat(np.arange(20), 5), kind="fraction")
    assert proportion.method == "t over clusters"
    assert proportion.high - proportion.low > 1.5 * (np.subtract(*wilson_bounds(int(hits.sum()), 100)[::-1]))
    # sizes do not weigh
    uneven = mean_interval([1.0, 1, 1, 1, 0, 0, 0, 0], list("aaaabcde"))
    assert uneven.mean == pytest.approx(0.2)
    assert mean_interval(np.arange(8.0), np.repeat(np.arange(4), 2)).bounds is None


def test_bca_against_scipy():
    values = np.random.default_rng(5).exponential(size=60)
    expected = bootstrap((values,), np.mean, method="BCa", n_resamples=50_000, rng=0).confidence_interval
    assert bca_bounds(values, num_resamples=50_000) == pytest.approx((expected.low, expected.high), abs=6e-3)
    low, high = bca_bounds(values, num_resamples=50_000)
    assert high - values.mean() > 1.1 * (values.mean() - low)  # it leans to the long tail
    mirrored = bca_bounds(-values, num_resamples=50_000)
    assert mirrored == pytest.approx((-high, -low), abs=6e-3)
    ties = np.tile([-1.0, 1.0], 30)  # a tenth of all resamples have the mean of the sample
    low_t, high_t = bca_bounds(ties, num_resamples=20_000)
    assert low_t == pytest.approx(-high_t, abs=0.034)  # one step of the mean
    assert high_t == pytest.approx(1.96 / 60**0.5, abs=0.034)
    narrow = bca_bounds(values, level=0.5)
    assert low < narrow[0] < values.mean() < narrow[1] < high


def test_wilson_against_published_values():
    # Newcombe (1998), table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29
    for successes, num, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert wilson_bounds(successes, num) == pytest.approx((low, high), abs=1e-4)
    for bad in ((-1, 5), (6, 5), (0, 0)):
        with pytest.raises(ValueError, match="expected 0 <= successes <= num > 0"):
            wilson_bounds(*bad)


@pytest.mark.parametrize("num", [5, 10, 20, 50, 100])
def test_wilson_covers_on_average_over_p(num):
    """Exactly: the sum over all outcomes."""
    truths, outcomes = np.linspace(0.05, 0.95, 181), np.arange(num + 1)
    bounds = np.array([wilson_bounds(k, num) for k in outcomes])
    inside = (bounds[:, :1] <= truths) & (truths <= bounds[:, 1:])
    assert 0.93 < (inside * binom.pmf(outcomes[:, None], num, truths)).sum(0).mean() < 0.97


def test_pooled_ratios():
    top, bottom = np.array([3.0, 0, 5, 2, 0, 9]), np.array([4.0, 0, 5, 6, 1, 9])
    found = ratio_interval(top, bottom)
    ratio = 19 / 25
    residuals = (top - ratio * bottom)[bottom > 0]
    degrees = 25**2 / (16 + 25 + 36 + 1 + 81) - 1  # less than 4: one video has 9 of 25
    half = t_quantile(0.95, degrees) * residuals.std(ddof=1) / 5**0.5 / bottom[bottom > 0].mean()
    assert found.bounds == pytest.approx((ratio - half, ratio + half))
    assert (found.mean, found.num, found.num_groups) == (pytest.approx(ratio), 5, 5)
    assert found.method == "t of a ratio"
    twice = ratio_interval(np.repeat(top, 2), np.repeat(bottom, 2), np.repeat(np.arange(6), 2))
    assert twice.bounds == pytest.approx(found.bounds)
    assert (twice.num, twice.num_groups) == (10, 5)
    assert ratio_interval([2, 3, 4, 1, 1], [2, 3, 4, 1, 1], kind="fraction").bounds == wilson_bounds(5, 5)
    assert ratio_interval([2, 3, 4, 1, 1], [2, 3, 4, 1, 1]).bounds is None
    with pytest.raises(ValueError, match="all are 0"):
        ratio_interval([0.0], [0.0])
    equal = np.array([1.0, 2, 3, 0, 4])
    assert ratio_interval(equal, [4.0] * 5).bounds == pytest.approx(t_bounds(equal / 4))
    one_large = linearized_ratios(np.array([500.0, 1, 0, 1, 0]), np.array([1000.0, 1, 1, 1, 1]))
    found = ratio_interval([500.0, 1, 0, 1, 0], [1000.0, 1, 1, 1, 1])
    assert found.bounds == pytest.approx(t_bounds(one_large, degrees=1.0))


def test_the_ratio_interval_is_as_wide_as_its_spread():
    rng = np.random.default_rng(0)

    def draw():
        attempts = 1 + rng.poisson(3, 60)
        return rng.binomial(attempts, rng.beta(4.2, 1.8, 60)), attempts

    values = [np.divide(*map(np.sum, draw())) for _ in range(400)]
    found = ratio_interval(*draw())
    assert (found.high - found.low) / (2 * t_quantile(0.95, 59)) == pytest.approx(np.std(values), rel=0.2)


def test_skewed_and_small_samples_are_marked():
    rng = np.random.default_rng(0)
    long_tail = rng.lognormal(size=40)
    assert sample_skewness(long_tail) == pytest.approx(skew(long_tail, bias=False))
    assert mean_interval(long_tail).skewed
    assert mean_interval(-long_tail).skewed
    assert not mean_interval(rng.normal(size=40)).skewed
    assert not mean_interval(rng.lognormal(size=5000)).skewed
    assert sample_skewness(np.ones(4)) == sample_skewness(np.array([1.0, 2.0])) == 0
    # at the borders: 25 skewness^2 values, and a skewness of 1
    values = np.r_[np.zeros(46), np.ones(9)]
    assert 1 < sample_skewness(values) < (55 / 25) ** 0.5 + 0.4
    assert is_skewed(values) == (25 * sample_skewness(values) ** 2 > 55)
    mild = np.r_[np.zeros(9), np.ones(4)]
    assert 25 * sample_skewness(mild) ** 2 > 13
    assert sample_skewness(mild) < 1
    assert not is_skewed(mild)
    assert ratio_interval(long_tail, np.ones(40)).skewed


def test_seeded_and_refusing():
    values = normal(60)
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)
    wide = mean_interval(values, level=0.99)
    assert wide.low < mean_interval(values).low < mean_interval(values).high < wide.high
    with pytest.raises(ValueError, match="at least one"):
        mean_interval([])
    with pytest.raises(ValueError, match="1 of 2 are not finite"):
        mean_interval([1.0, float("nan")])
    with pytest.raises(ValueError, match="1 labels for 2 values"):
        mean_interval([1.0, 2.0], ["a"])


def test_percentiles_leave_equal_tails():
    assert percentile_bounds(np.arange(101.0)) == pytest.approx((2.5, 97.5))
    assert percentile_bounds(np.arange(101.0), level=0.8) == pytest.approx((10, 90))


@pytest.mark.parametrize("num", [50, 1_500_000])  # in one block and in blocks of two means
def test_all_means_are_of_resampled_values(num):
    means = _resampled_means(np.full(num, 3.25), 5, seed=0)
    assert means.tolist() == [3.25] * 5
