"""Sets that lie on disk: the same numbers, and never all rows at once."""

import numpy as np
import pytest

from eval.backbones.feature_memmap import FeatureMemmap
from eval.distribution.suite import compare_sets, score_inception
from eval.registry import Extraction
from eval.set_rows import CachedSample, distribution_rows

MOST = 4096  # rows that a metric may hold


class BlockwiseOnly:
    """Rows that can be read in blocks only: as a expected they are no array."""

    def __init__(self, rows):
        self._rows, self.shape, self.dtype, self.ndim = rows, rows.shape, rows.dtype, rows.ndim

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, key):
        found = self._rows[key]
        assert found.ndim == 2, "rows one by one"
        assert len(found) <= MOST, f"{len(found)} rows at once"
        return found

    def __array__(self, *_, **__):
        raise AssertionError("all rows at once")


def normal(seed, num, dim=6, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1, (num, dim)).astype(np.float32)


@pytest.fixture
def sampled(monkeypatch):
    """Large sets' ways at a small size."""
    monkeypatch.setattr("eval.distribution.kid.SMALL", 0)
    monkeypatch.setattr("eval.distribution.kid.MANY", 0)


@pytest.mark.usefixtures("sampled")
def test_no_number_needs_all_rows_at_once():
    x, y = normal(0, 5000), normal(1, 4500, shift=0.3)
    expected = compare_sets("toy", x, y)
    assert [score.interval is None for score in expected] == [False] * 7
    assert compare_sets("toy", BlockwiseOnly(x), BlockwiseOnly(y)) == expected


def test_no_inception_score_needs_all_rows_at_once():
    p = np.random.default_rng(0).dirichlet(np.ones(5), 5000)
    expected = score_inception("toy", p, groups=None, seed=0)
    assert score_inception("toy", BlockwiseOnly(p), groups=None, seed=0) == expected
    marginal = p.mean(0)
    assert expected.interval.mean == pytest.approx(
        np.exp((p * np.log(p / marginal)).sum(1).mean()), rel=1e-12
    )


def test_videos_in_any_portions_make_the_same_file(tmp_path):
    rows = normal(0, 700)
    for size in (1, 16, 700):
        with FeatureMemmap(tmp_path / "rows") as file:
            for start in range(0, 700, size):
                file.append(rows[start : start + size])
            assert isinstance(file.rows, np.memmap)
            np.testing.assert_array_equal(file.rows, rows)
            with pytest.raises(ValueError, match="feature dimension mismatch: 6 vs 4"):
                file.append(rows[:, :4])
    with FeatureMemmap(tmp_path / "none") as file:
        assert file.rows.shape == (0, 1)


class FakeExtraction:
    """An extraction whose features are where the test put them."""

    def __init__(self, folder, rows):
        self.cache = type("Folder", (), {"folder": folder})()
        self.extractor = type("Toy", (), {"name": "toy", "distance": "fd"})()
        self._rows = rows

    def load(self, key):
        return {"features": self._rows[key], "logits": self._rows[key]}


def test_sets_are_compared_from_files_that_are_removed_again(tmp_path, monkeypatch):
    rows = {f"{side}{i}": normal(i + 100 * side, 3) for side in (0, 1) for i in range(20)}
    cached = [[CachedSample(f"{side}{i}", f"p{i}") for i in range(20)] for side in (0, 1)]
    seen = []
    monkeypatch.setattr(
        "eval.set_rows.compare_sets",
        lambda name, x, y, **rest: seen.append((x, y)) or compare_sets(name, x, y, **rest),
    )
    extraction: Extraction = FakeExtraction(tmp_path / "cache", rows)
    (row,) = distribution_rows(extraction, {"ours": cached[0]}, cached[1], {"ours": 21}, seed=0)
    assert all(isinstance(z, np.memmap) and z.shape == (60, 6) for z in seen[0])
    assert (row.num_scored, row.num_samples) == (20, 21)
    assert row.intervals["fd_toy"].num_groups == 20
    assert {each.num for each in row.intervals.values()} == {20}  # videos, not their 60 rows
    assert row.intervals["coverage_toy"].num_reference == 20
    assert row.reference_key
    assert {"kid_toy", "precision_toy", "is_toy"} <= set(row.intervals)
    assert not list((tmp_path / "cache").iterdir())
