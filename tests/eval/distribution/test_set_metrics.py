import itertools

import mpmath
import numpy as np
import pytest
import torch
from scipy.spatial import KDTree
from scipy.stats import special_ortho_group

import eval.distribution.kernel_sums
from eval.distribution.feature_arrays import VideoRows, linearized_interval
from eval.distribution.frechet import (
    Moments,
    extrapolate_frechet,
    frechet_distance,
    influences,
    trace_sqrt_product,
)
from eval.distribution.inception_score import inception_score, kl_to_marginal, paired_kl, softmax
from eval.distribution.kid import kernel_distance
from eval.distribution.prdc import compute_prdc


def normal(seed, num, dim, scale=1.0):
    return np.random.default_rng(seed).normal(0, scale, (num, dim))


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


def test_kid_against_all_pairs_and_the_reference():
    from torchmetrics.image.kid import maximum_mean_discrepancy

    x, y = normal(0, 40, 8), normal(1, 30, 8) + 0.5

    def k(a, b):
        return (a @ b / 8 + 1) ** 3

    within = [np.mean([k(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j]) for z in (x, y)]
    across = np.mean([k(a, b) for a in x for b in y])
    assert kernel_distance(x, y).value == pytest.approx(sum(within) - 2 * across, rel=1e-12)
    kernels = [torch.from_numpy((a @ b.T / 8 + 1) ** 3) for a, b in ((x[:30], x[:30]), (x[:30], y), (y, y))]
    theirs = float(maximum_mean_discrepancy(*kernels))
    assert kernel_distance(x[:30], y).value == pytest.approx(theirs, rel=1e-12)


def test_kid_against_clean_fid_and_torch_fidelity():
    from cleanfid.fid import kernel_distance as cleanfid_distance

    fidelity = pytest.importorskip("torch_fidelity.metric_kid")
    x, y = normal(0, 50, 8), normal(1, 50, 8) + 0.5
    ours = kernel_distance(x, y).value
    assert ours == pytest.approx(cleanfid_distance(x, y, num_subsets=1), rel=1e-12)  # one subset: all rows
    kernels = [(a @ b.T / 8 + 1) ** 3 for a, b in ((x, x), (x, y), (y, y))]
    assert ours == pytest.approx(float(fidelity.mmd2(*kernels)), rel=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-9), (torch.bfloat16, 2e-7)])
def test_kid_of_large_sets_in_fast_formats(monkeypatch, dtype, tolerance):
    x, y = np.abs(normal(0, 3000, 64)), np.abs(normal(1, 2500, 64)) + 0.01
    monkeypatch.setattr("eval.distribution.kid.SMALL", np.inf)
    slow = kernel_distance(x, y)
    monkeypatch.setattr("eval.distribution.kid.SMALL", 0)
    monkeypatch.setattr("eval.distribution.kid.MANY", 0)
    monkeypatch.setattr("eval.distribution.kid.fast_dtype", lambda: dtype)
    monkeypatch.setattr("eval.distribution.kid.TOLERANCE", 0)  # all pairs
    monkeypatch.setattr("eval.distribution.kid.FLOOR", 0)
    fast = kernel_distance(x, y)
    assert fast.error == slow.error == 0
    assert 0 < abs(fast.value - slow.value) < tolerance * 8  # the mean kernel is about 4.5
    assert np.abs(fast.influence_x - slow.influence_x).max() < 1e-4 * np.abs(slow.influence_x).max()


def test_some_pairs_tell_the_kid_of_large_sets_and_by_how_much_they_are_off(monkeypatch):
    x, y = np.abs(normal(0, 1500, 100)), np.abs(normal(1, 1400, 100)) + 0.4
    slow = kernel_distance(x, y)
    monkeypatch.setattr("eval.distribution.kid.SMALL", 0)
    monkeypatch.setattr("eval.distribution.kid.MANY", 0)
    row_products, num_products = eval.distribution.kernel_sums.row_products, []

    def counted(a, b):
        num_products.append(len(a) * len(b))
        return row_products(a, b)

    monkeypatch.setattr("eval.distribution.kernel_sums.row_products", counted)
    off = []
    for seed in range(12):
        some = kernel_distance(x, y, seed=seed)
        off.append((some.value - slow.value) / some.error)
        assert 0 < some.error <= max(1e-6 * slow.value, 2.0**-24 * 8)
        for side in ("influence_x", "influence_y"):
            ours, theirs = getattr(some, side), getattr(slow, side)
            assert np.std((ours - ours.mean()) - (theirs - theirs.mean())) < 0.01 * np.std(theirs)
    assert 0.5 < np.mean(np.square(off)) ** 0.5 < 1.6  # neither hides nor exaggerates
    assert sum(num_products) / 12 < 0.7 * 2 * 1450**2
    assert kernel_distance(x, y, seed=3).value == kernel_distance(x, y, seed=3).value


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


@pytest.mark.parametrize("apart", [0.0, 1e3])  # clusters: more is left open than bfloat16 is good for
def test_neighbors_screened_in_bfloat16_are_those_of_float64(monkeypatch, apart):
    monkeypatch.setattr("eval.distribution.prdc.SMALL", 0)
    x, y = (apart * np.repeat(normal(0, 3, 32), 700, axis=0) + normal(s, 2100, 32) for s in (1, 2))
    monkeypatch.setattr("eval.distribution.prdc.fast_dtype", lambda: torch.float32)
    precise = compute_prdc(x, y)
    formats, row_products = [], eval.distribution.prdc.row_products

    def noted(a, b):
        formats.append(a.dtype)
        return row_products(a, b)

    monkeypatch.setattr("eval.distribution.prdc.fast_dtype", lambda: torch.bfloat16)
    monkeypatch.setattr("eval.distribution.prdc.row_products", noted)
    fast = compute_prdc(x, y)
    for name in ("precision_n", "density_n", "recall_m", "coverage_m"):
        assert np.array_equal(getattr(fast, name), getattr(precise, name))
    assert formats.count(torch.bfloat16) == 4
    # within the sets; of clusters, all rows again, and each of the four between sets once for both limits
    assert formats.count(torch.float32) == 6 + (8 + 4 if apart else 0)
    assert formats[-1] == (torch.float32 if apart else torch.bfloat16)
    assert 0 < precise.precision_n.mean() < 1


def test_neighbors_that_float32_cannot_tell_apart():
    x = np.repeat(normal(0, 1, 6), 400, axis=0) + 1e-9 * normal(1, 400, 6)
    y = x[::2] + 1e-9 * normal(2, 200, 6)
    distance = np.linalg.norm(x[:, None] - y[None], axis=-1)
    radius = np.sort(np.linalg.norm(y[:, None] - y[None], axis=-1), axis=1)[:, 3]
    assert np.array_equal(compute_prdc(x, y, k=3).precision_n, (distance <= radius).any(1))
    np.testing.assert_allclose(compute_prdc(x, y, k=3).density_n, (distance <= radius).sum(1) / 3)


def test_neighbors_in_clusters_far_from_the_center():
    """Within a cluster float32 sees noise only, and more rows are in doubt than there are candidates."""
    ends = np.sign(np.arange(120) % 2 - 0.5)[:, None] * np.full(6, 10.0)
    x, y = ends + 1e-4 * normal(1, 120, 6), ends + 1e-4 * normal(2, 120, 6)
    distance = np.linalg.norm(x[:, None] - y[None], axis=-1)
    radius = np.sort(np.linalg.norm(y[:, None] - y[None], axis=-1), axis=1)[:, 3]
    np.testing.assert_allclose(compute_prdc(x, y, k=3).density_n, (distance <= radius).sum(1) / 3)


def test_kid_is_unbiased_and_its_influences_tell_the_spread():
    values = [kernel_distance(normal(s, 60, 6), normal(1000 + s, 60, 6)).value for s in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 200**0.5
    x, y = normal(0, 200, 6), normal(1, 200, 6) + 0.8
    subsets = [kernel_distance(x[i::4], y[i::4]).value for i in range(4)]
    assert np.mean(subsets) == pytest.approx(kernel_distance(x, y).value, rel=0.1)
    far = [kernel_distance(normal(s, 200, 6), normal(2000 + s, 200, 6) + 0.8) for s in range(100)]
    found = linearized_interval(far[0].value, [far[0].influence_x, far[0].influence_y])
    assert (found.high - found.low) / 3.92 == pytest.approx(np.std([f.value for f in far]), rel=0.3)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_manifold_against_nearest_neighbors(k):
    x, y = normal(0, 1500, 4), normal(1, 1300, 4, 1.5) + 0.4
    trees = KDTree(x), KDTree(y)
    radius_x, radius_y = (t.query(z, k + 1)[0][:, -1] for t, z in zip(trees, (x, y), strict=True))
    distance = np.linalg.norm(x[:, None] - y[None], axis=-1)
    found = compute_prdc(x, y, k=k)
    assert np.array_equal(found.precision_n, (distance <= radius_y).any(1))
    np.testing.assert_allclose(found.density_n, (distance <= radius_y).sum(1) / k)
    assert np.array_equal(found.recall_m, (distance <= radius_x[:, None]).any(0))
    assert np.array_equal(found.coverage_m, (distance <= radius_y).any(0))


def test_manifold_against_scikit_learn():
    neighbors = pytest.importorskip("sklearn.neighbors")
    x, y = normal(0, 200, 32), normal(1, 300, 32)
    radius = neighbors.NearestNeighbors(n_neighbors=5).fit(y).kneighbors()[0][:, -1]
    hits = neighbors.NearestNeighbors(n_neighbors=1).fit(x).kneighbors(y)[0][:, 0] <= radius
    assert np.array_equal(compute_prdc(x, y).coverage_m, hits)


def test_manifold_of_one_set_twice_and_of_two_far_apart():
    x = normal(0, 50, 3)
    same, far = compute_prdc(x, x), compute_prdc(x + 100, x)
    assert same.precision_n.all()
    assert same.coverage_m.all()
    for values in (far.precision_n, far.density_n, far.recall_m, far.coverage_m):
        assert not values.any()


def uneven_videos(seed, num, dim=4, near=0.3):
    """Rows and videos of 1 to 6 rows that are near each other."""
    rng = np.random.default_rng(seed)
    videos = np.repeat(np.arange(num), rng.integers(1, 7, num))
    return rng.normal(size=(num, dim))[videos] + near * rng.normal(size=(len(videos), dim)), videos


def to_videos(distance, videos):
    """Distances [rows, videos] to the nearest row of each video."""
    return np.minimum.reduceat(distance, np.unique(videos, return_index=True)[1], axis=1)


@pytest.mark.parametrize(("num", "near"), [(40, 0.3), (40, 1e-5), (900, 0.3)])
def test_manifold_over_videos_against_all_distances(num, near):
    (x, in_x), (y, in_y) = uneven_videos(0, num, near=near), uneven_videos(1, num + 9, near=near)
    x[len(x) // 2 :] += 100  # two far clusters: float32 leaves more in doubt than there are candidates
    y[len(y) // 2 :] += 100
    rows_x, rows_y = VideoRows.of(in_x, len(x)), VideoRows.of(in_y, len(y))
    found = compute_prdc(x, y, k=3, videos_x=rows_x, videos_y=rows_y)
    radii = []
    for z, videos in ((x, in_x), (y, in_y)):
        own = to_videos(np.linalg.norm(z[:, None] - z[None], axis=-1), videos)
        own[np.arange(len(z)), videos] = np.inf
        radii.append(np.sort(own, 1)[:, 2])
    distance = np.linalg.norm(x[:, None] - y[None], axis=-1)
    inside = distance <= radii[1]
    assert np.array_equal(found.precision_n, inside.any(1))
    assert np.array_equal(found.recall_m, (distance <= radii[0][:, None]).any(0))
    assert np.array_equal(found.coverage_m, inside.any(0))
    weight = 1 / np.bincount(in_y)[in_y]
    reached = np.maximum.reduceat(inside, np.unique(in_x, return_index=True)[1])
    np.testing.assert_allclose(found.density_n, reached @ weight / 3)


@pytest.mark.parametrize("sampled", [False, True])
def test_kid_leaves_out_pairs_of_one_video(monkeypatch, sampled):
    (x, in_x), (y, in_y) = uneven_videos(0, 60), uneven_videos(1, 50)
    y += 1.0
    if sampled:
        monkeypatch.setattr("eval.distribution.kid.SMALL", 0)
        monkeypatch.setattr("eval.distribution.kid.MANY", 0)
        monkeypatch.setattr("eval.distribution.kid.TOLERANCE", 1.0)
        monkeypatch.setattr("eval.distribution.kid.fast_dtype", lambda: torch.float32)

    def kernel(a, b):
        return (a @ b.T / 4 + 1) ** 3

    means, rows = [], []
    for z, videos in ((x, in_x), (y, in_y)):
        other = videos[:, None] != videos
        means.append(kernel(z, z)[other].mean())
        rows.append((kernel(z, z) * other).sum(1) / other.sum(1))
    across = kernel(x, y)
    expected = sum(means) - 2 * across.mean()
    found = kernel_distance(x, y, videos_x=VideoRows.of(in_x, len(x)), videos_y=VideoRows.of(in_y, len(y)))
    if sampled:
        assert 0 < found.error < 0.5 * expected
        assert abs(found.value - expected) < 4 * found.error
    else:
        assert found.error == 0
        assert found.value == pytest.approx(expected, rel=1e-10)
        np.testing.assert_allclose(found.influence_x, 2 * (rows[0] - across.mean(1)), rtol=1e-9)
        np.testing.assert_allclose(found.influence_y, 2 * (rows[1] - across.mean(0)), rtol=1e-9)


def test_fd_at_infinite_n_draws_videos():
    (x, in_x), (y, in_y) = uneven_videos(0, 400), uneven_videos(1, 400)
    rows_x, rows_y = VideoRows.of(in_x, len(x)), VideoRows.of(in_y, len(y))
    found = extrapolate_frechet(x, y, videos_x=rows_x, videos_y=rows_y)
    assert (found.sizes[0], found.sizes[-1]) == (100, 400)
    plain = frechet_distance(Moments.from_features(x), Moments.from_features(y))
    as_rows = extrapolate_frechet(x, y)
    assert abs(found.value) < abs(as_rows.value) < plain  # bias of 400 videos, not of 1,400 rows
    rows = VideoRows.of([0, 0, 0, 1, 2, 2], 6)
    assert rows.rows_of(np.array([2, 0])).tolist() == [4, 5, 0, 1, 2]
    assert [(each.start, each.stop) for each in rows.blocks(3)] == [(0, 3), (3, 6)]
    assert [(each.start, each.stop) for each in rows.blocks(2)] == [(0, 3), (3, 4), (4, 6)]
    assert [(each.start, each.stop) for each in VideoRows.of(None, 5).blocks(2)] == [(0, 2), (2, 4), (4, 5)]
    assert (rows.num, rows.single, VideoRows.of(None, 5).single) == (3, False, True)


def test_inception_score():
    sure = np.tile(np.eye(4), (30, 1))
    assert inception_score(sure, num_splits=2)[0] == pytest.approx(4)
    assert inception_score(np.full((40, 7), 1 / 7))[0] == pytest.approx(1)
    p = softmax(normal(0, 100, 9, 2))
    marginal = p.mean(0)
    assert np.exp(kl_to_marginal(p).mean()) == pytest.approx(np.exp((p * np.log(p / marginal)).sum(1).mean()))
    with pytest.raises(ValueError, match="expected at least 20 rows, got 19"):
        inception_score(p[:19])
    with pytest.raises(ValueError, match="sum to 1"):
        kl_to_marginal(p * 2)


def test_inception_score_against_torch_fidelity():
    fidelity = pytest.importorskip("torch_fidelity.metric_isc")
    logits = normal(0, 200, 9, 2)
    theirs = fidelity.isc_features_to_metric(
        torch.from_numpy(logits), splits=10, shuffle=False, rng_seed=None
    )
    mean, std = inception_score(softmax(logits))
    assert mean == pytest.approx(theirs["inception_score_mean"], rel=1e-9)
    assert std == pytest.approx(theirs["inception_score_std"], rel=1e-9)


def test_paired_divergence():
    p, q = softmax(normal(0, 20, 5)), softmax(normal(1, 20, 5))
    np.testing.assert_allclose(paired_kl(p, q), (p * np.log(p / q)).sum(1), rtol=1e-3, atol=1e-4)
    assert np.abs(paired_kl(p, p)).max() < 1e-4
    one = np.eye(3)
    np.testing.assert_allclose(paired_kl(one, one[::-1])[0], -np.log(1e-6), rtol=1e-6)
    with pytest.raises(ValueError, match="shape mismatch of pairs"):
        paired_kl(p, q[:3])


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
