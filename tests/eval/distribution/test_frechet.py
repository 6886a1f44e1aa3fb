import itertools

import mpmath
import numpy as np
import pytest
import torch
from scipy.stats import special_ortho_group

from eval.distribution.feature_arrays import VideoRows, linearized_interval
from eval.distribution.frechet import (
    Moments,
    congruence,
    extrapolate_frechet,
    frechet_distance,
    influences,
    trace_sqrt_product,
)
from tests.fixtures.feature_sets import normal, uneven_videos


def exact(mean, cov, num=1000):
    """Moments of a distribution that is known."""
    return Moments(num, np.asarray(mean, float), np.asarray(cov, float) * (num - 1))


def test_frechet_distance_against_closed_forms():
    rng = np.random.default_rng(0)
    variances, others = rng.random(6) + 0.1, rng.random(6) + 0.1
    turn, shift = special_ortho_group(6, seed=1).rvs(), rng.normal(size=6)
    x = exact(np.zeros(6), turn @ np.diag(variances) @ turn.T)
    y = exact(shift, turn @ np.diag(others) @ turn.T)
    expected = shift @ shift + ((np.sqrt(variances) - np.sqrt(others)) ** 2).sum()
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-12)
    # one dimension against a line in two: a singular covariance whose square root is known
    line, flat = exact([0, 0], [[4.0, 0], [0, 0]]), exact([0, 0], np.eye(2))
    assert frechet_distance(line, flat) == pytest.approx((2 - 1) ** 2 + 1, rel=1e-12)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-12)


@pytest.mark.filterwarnings("ignore:.*disp.*:DeprecationWarning")
@pytest.mark.parametrize("num", [300, 40])
def test_frechet_distance_against_the_references(num):
    from cleanfid.fid import frechet_distance as cleanfid_distance
    from torchmetrics.image.fid import _compute_fid

    x, y = normal(0, num, 64), normal(1, num + 7, 64, 1.3) + 0.2
    ours = frechet_distance(Moments.from_features(x), Moments.from_features(y))
    arguments = (x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False))
    mu_x, cov_x, mu_y, cov_y = map(torch.from_numpy, arguments)
    theirs = float(_compute_fid(mu_x, cov_x, mu_y, cov_y))
    # with fewer rows than dimensions they take square roots of rounding errors instead of zeros
    tolerance = 1e-9 if num > 64 else 1e-4
    assert ours == pytest.approx(theirs, rel=tolerance)
    if num > 64:
        assert ours == pytest.approx(cleanfid_distance(*arguments), rel=1e-9)


def test_congruence_of_triangular_and_of_full_bases():
    rng = np.random.default_rng(0)
    full, root = rng.normal(size=(5, 5)), rng.normal(size=(5, 5))
    for basis in (full, np.tril(full) + 5 * np.eye(5), full[:, :3]):
        expected = np.tril(basis.T @ (root @ root.T) @ basis)
        np.testing.assert_allclose(np.tril(congruence(basis, root @ root.T)), expected, atol=1e-12)


def test_frechet_distance_against_torch_fidelity():
    fidelity = pytest.importorskip("torch_fidelity.metric_fid")
    x, y = normal(0, 300, 64), normal(1, 280, 64, 1.3)
    parts = [{"mu": z.mean(0), "sigma": np.cov(z, rowvar=False)} for z in (x, y)]
    theirs = fidelity.fid_statistics_to_metric(*parts, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(Moments.from_features(x), Moments.from_features(y)) == pytest.approx(
        theirs, rel=1e-9
    )


def test_moments_merge_in_any_order():
    x = normal(0, 10_000, 5) + 1e6  # a large mean would ruin sums of squares
    full = Moments.from_features(x)
    parts = [Moments.from_features(part) for part in np.array_split(x, 7)]
    for order in itertools.islice(itertools.permutations(parts), 3):
        merged = order[0]
        for part in order[1:]:
            merged = merged.merged(part)
        assert merged.num == 10_000
        np.testing.assert_allclose(merged.covariance, np.cov(x, rowvar=False), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(merged.covariance, full.covariance, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("num", [60, 8])
def test_influences_are_the_derivative(num):
    x, y = normal(0, num, 12), Moments.from_features(normal(1, 300, 12, 1.5) + 0.3)
    found = influences(x, Moments.from_features(x), y)
    assert found.mean() == pytest.approx(0, abs=1e-9)

    def weighted(eps, row):
        weights = np.full(num, (1 - eps) / num)
        weights[row] += eps
        mean = weights @ x
        cov = (x - mean).T @ ((x - mean) * weights[:, None]) * num / (num - 1)
        return frechet_distance(exact(mean, cov, num), y)

    for row in (0, 3):
        slope = (weighted(1e-5, row) - weighted(-1e-5, row)) / 2e-5
        assert slope == pytest.approx(found[row], rel=1e-4, abs=1e-4)


def test_the_interval_is_as_wide_as_the_spread_of_repetitions():
    y = Moments.from_features(normal(99, 4000, 6))
    values = [frechet_distance(Moments.from_features(normal(s, 400, 6, 1.4)), y) for s in range(120)]
    x = normal(500, 400, 6, 1.4)
    parts = [influences(x, Moments.from_features(x), y)]
    interval = linearized_interval(values[0], parts)
    assert (interval.high - interval.low) / 3.92 == pytest.approx(np.std(values), rel=0.25)
    twins = linearized_interval(values[0], [np.repeat(parts[0], 4)], [np.repeat(np.arange(400), 4)])
    assert twins.high - twins.low == pytest.approx(interval.high - interval.low, rel=0.1)
    assert (twins.num, twins.num_groups) == (1600, 400)


def test_the_bias_of_small_samples_is_extrapolated_away():
    x, y = normal(0, 3000, 30), normal(1, 3000, 30)
    plain = frechet_distance(Moments.from_features(x), Moments.from_features(y))
    found = extrapolate_frechet(x, y)
    assert plain > 0.15
    assert abs(found.value) < plain / 4
    assert (found.sizes[0], found.sizes[-1]) == (750, 3000)
    assert min(extrapolate_frechet(x[:70], y[:70]).sizes) == 31
    assert found == extrapolate_frechet(x, y)
    assert found.error != extrapolate_frechet(x, y, seed=1).error
    shifted = extrapolate_frechet(x + 1.0, y)
    assert shifted.value == pytest.approx(30, rel=0.05)
    with pytest.raises(ValueError, match="expected at least 62 rows in 30 dimensions, got 61"):
        extrapolate_frechet(x[:61], y)


@pytest.mark.parametrize("decades", [0, 6])  # that standard deviations span: with 6, squares lose small roots
def test_trace_of_the_square_root_against_sixty_digits(decades):
    scale = np.diag(10.0 ** -np.linspace(0, decades, 8))
    x, y = (scale @ np.cov(normal(seed, 40, 8), rowvar=False) @ scale for seed in (1, 2))
    with mpmath.workdps(60):
        factor = mpmath.cholesky(mpmath.matrix(x.tolist()))
        values = mpmath.eigsy(factor.T * mpmath.matrix(y.tolist()) * factor, eigvals_only=True)
        exact = sum(mpmath.sqrt(value) for value in values)
    assert trace_sqrt_product(x, y) == pytest.approx(float(exact), rel=1e-12)
    assert trace_sqrt_product(x, 0 * y) == trace_sqrt_product(0 * x, y) == 0


def test_fd_at_infinite_n_draws_videos():
    (x, in_x), (y, in_y) = uneven_videos(0, 400), uneven_videos(1, 400)
    rows_x, rows_y = VideoRows.of(in_x, len(x)), VideoRows.of(in_y, len(y))
    found = extrapolate_frechet(x, y, videos_x=rows_x, videos_y=rows_y)
    assert (found.sizes[0], found.sizes[-1]) == (100, 400)
    plain = frechet_distance(Moments.from_features(x), Moments.from_features(y))
    as_rows = extrapolate_frechet(x, y)
    assert abs(found.value) < abs(as_rows.value) < plain  # bias of 400 videos, not of 1,400 rows
