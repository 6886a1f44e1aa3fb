"""Frechet distances from published statistics: equal to those from the features themselves."""

import numpy as np
import pytest

from eval.distribution.config import StatisticsConfig
from eval.distribution.frechet import Moments, frechet_distance
from eval.distribution.reference_statistics import ReferenceStatistics


def save(path, features):
    np.savez(path, mu=features.mean(0), sigma=np.cov(features, rowvar=False))
    return StatisticsConfig(path=str(path))


def normal(seed, num, dim):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(num, dim)) @ rng.normal(size=(dim, dim)) + seed


def test_the_distance_is_that_from_the_set_itself(tmp_path):
    x, y = normal(0, 300, 6), normal(1, 400, 6)
    published = ReferenceStatistics.load(save(tmp_path / "real.npz", y))
    found = published.distance("fid_inception", x)
    assert found.interval.mean == pytest.approx(
        frechet_distance(Moments.from_features(x), Moments.from_features(y)), rel=1e-9
    )
    assert found.interval.low < found.interval.mean < found.interval.high
    assert found.notes == (
        f"against real.npz (sha256 {published.sha256}), over an unknown number of samples",
    )


def test_the_interval_tells_how_other_generated_sets_spread(tmp_path):
    published = ReferenceStatistics.load(save(tmp_path / "real.npz", normal(1, 4000, 3)))
    rng, shift = np.random.default_rng(5), np.full(3, 2.0)
    found = [published.distance("fd", rng.normal(size=(200, 3)) + shift) for _ in range(100)]
    width = found[0].interval.high - found[0].interval.low
    assert width / 3.92 == pytest.approx(np.std([each.interval.mean for each in found]), rel=0.3)


def test_small_sets_and_other_dimensions_are_reported(tmp_path):
    published = ReferenceStatistics.load(save(tmp_path / "real.npz", normal(1, 40, 6)))
    assert "5 samples in 6 dimensions" in published.distance("fd", normal(0, 5, 6)).notes[1]
    result = published.distance("fd", normal(0, 50, 5))
    assert result.interval is None
    assert result.error == "feature dimension mismatch: 5 vs 6"


def test_rows_of_a_video_are_one_sample(tmp_path):
    published = ReferenceStatistics.load(save(tmp_path / "real.npz", normal(1, 4000, 6)))
    rows = np.repeat(normal(0, 6, 6), 8, axis=0) + 0.01 * normal(2, 48, 6)
    found = published.distance("fd", rows, videos=np.repeat(np.arange(6), 8))
    assert "6 samples in 6 dimensions" in found.notes[1]
    assert (found.interval.num, found.interval.num_groups) == (6, 6)
    alone = published.distance("fd", rows)
    assert len(alone.notes) == 1
    assert found.interval.high - found.interval.low > 2 * (alone.interval.high - alone.interval.low)


BAD = {
    "no such file": None,
    "not an .npz with `mu`": {"mean": np.zeros(3)},
    r"`mu` \[3\] and `sigma` \[2, 2\], expected": {"mu": np.zeros(3), "sigma": np.eye(2)},
    "is not finite": {"mu": np.full(2, np.nan), "sigma": np.eye(2)},
    "or `sigma` is not symmetric": {"mu": np.zeros(2), "sigma": np.array([[1.0, 2], [0, 1]])},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_files_are_one_line(tmp_path, message):
    path = tmp_path / "bad.npz"
    if BAD[message] is not None:
        np.savez(path, **BAD[message])
    with pytest.raises(ValueError, match=f"^statistics: .*{message}"):
        ReferenceStatistics.load(StatisticsConfig(path=str(path)))


def test_other_formats_and_other_bytes_are_refused(tmp_path):
    (tmp_path / "bad.npz").write_text("mu, sigma")
    with pytest.raises(ValueError, match=r"^statistics: .*bad.npz is not an .npz"):
        ReferenceStatistics.load(StatisticsConfig(path=str(tmp_path / "bad.npz")))
    np.savez(
        tmp_path / "objects.npz", mu=np.array([1.0, 2.0], object), sigma=np.eye(2)
    )  # pickled: could run code
    with pytest.raises(ValueError, match=r"^statistics: .*objects.npz is not an .npz"):
        ReferenceStatistics.load(StatisticsConfig(path=str(tmp_path / "objects.npz")))
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"^statistics: .*one.npy is not an .npz"):
        ReferenceStatistics.load(StatisticsConfig(path=str(tmp_path / "one.npy")))
    config = save(tmp_path / "real.npz", normal(1, 40, 2))
    with pytest.raises(ValueError, match=r"^statistics: .*real.npz has sha256 .* expected 00ff"):
        ReferenceStatistics.load(StatisticsConfig(path=config.path, sha256="00ff"))
