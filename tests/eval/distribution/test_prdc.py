import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

import eval.distribution.distance_bounds
from eval.distribution.feature_arrays import VideoRows
from eval.distribution.matmul import product_error
from eval.distribution.prdc import compute_prdc
from tests.fixtures.feature_sets import normal, uneven_videos


@pytest.mark.parametrize("apart", [0.0, 1e3])  # clusters: more is left open than bfloat16 is good for
def test_neighbors_screened_in_bfloat16_are_those_of_float64(monkeypatch, apart):
    monkeypatch.setattr("eval.distribution.prdc.SMALL", 0)
    x, y = (apart * np.repeat(normal(0, 3, 32), 700, axis=0) + normal(s, 2100, 32) for s in (1, 2))
    monkeypatch.setattr("eval.distribution.prdc.fast_dtype", lambda: torch.float32)
    precise = compute_prdc(x, y)
    formats, row_products = [], eval.distribution.distance_bounds.row_products

    def noted(a, b):
        formats.append(a.dtype)
        return row_products(a, b)

    monkeypatch.setattr("eval.distribution.prdc.fast_dtype", lambda: torch.bfloat16)
    monkeypatch.setattr("eval.distribution.distance_bounds.row_products", noted)
    fast = compute_prdc(x, y)
    for name in ("precision_n", "density_n", "recall_m", "coverage_m"):
        assert np.array_equal(getattr(fast, name), getattr(precise, name))
    assert formats.count(torch.bfloat16) == 4
    # within the sets; of clusters, all rows again, and each of the four between sets once for both limits
    assert formats.count(torch.float32) == 6 + (8 + 4 if apart else 0)
    assert formats[-1] == (torch.float32 if apart else torch.bfloat16)
    assert 0 < precise.precision_n.mean() < 1


def test_the_error_of_products_is_bounded_by_its_roundings():
    # 2000 sums and 16 more roundings of float32; with bfloat16 three more of 2^-8 (Higham 2002, section 3.1)
    assert product_error(torch.float32, 2000) == pytest.approx(1.01 * 2016 / 2**24, rel=1e-12)
    extra = product_error(torch.bfloat16, 2000) - product_error(torch.float32, 2000)
    assert extra == pytest.approx(1.01 * 3 / 256, rel=1e-12)


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
