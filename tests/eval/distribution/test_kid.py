import numpy as np
import pytest
import torch

import eval.distribution.kernel_sums
from eval.distribution.feature_arrays import VideoRows, linearized_interval
from eval.distribution.kid import kernel_distance
from tests.fixtures.feature_sets import normal, uneven_videos


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


def test_kid_is_unbiased_and_its_influences_tell_the_spread():
    values = [kernel_distance(normal(s, 60, 6), normal(1000 + s, 60, 6)).value for s in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 200**0.5
    x, y = normal(0, 200, 6), normal(1, 200, 6) + 0.8
    subsets = [kernel_distance(x[i::4], y[i::4]).value for i in range(4)]
    assert np.mean(subsets) == pytest.approx(kernel_distance(x, y).value, rel=0.1)
    far = [kernel_distance(normal(s, 200, 6), normal(2000 + s, 200, 6) + 0.8) for s in range(100)]
    found = linearized_interval(far[0].value, [far[0].influence_x, far[0].influence_y])
    assert (found.high - found.low) / 3.92 == pytest.approx(np.std([f.value for f in far]), rel=0.3)


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


@pytest.mark.parametrize(("error", "stops"), [(0.99, True), (1.01, False)])
def test_pairs_are_summed_until_the_error_is_the_resolution_of_the_mean_kernel(monkeypatch, error, stops):
    x, y = normal(0, 400, 8), normal(1, 400, 8)
    kernel = np.mean((x @ y.T / 8 + 1) ** 3)
    rounds = []

    def combine(sums):
        rounds.append(sums[2].mean)
        return 0.0, error * 2.0**-24 * sums[2].mean

    monkeypatch.setattr("eval.distribution.kid.SMALL", 0)
    monkeypatch.setattr("eval.distribution.kid.MANY", 0)
    monkeypatch.setattr("eval.distribution.kid._combine", combine)
    kernel_distance(x, y)
    assert (len(rounds) == 2) == stops
    assert rounds[-1] == pytest.approx(kernel, rel=0.05)
