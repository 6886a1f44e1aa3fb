"""The intervals contain the truth as often as they say: a small simulation with a fixed seed."""

import pytest

from eval.core import intervals
from eval.sanity import coverage
from eval.sanity.coverage import main, simulate_coverage

NORMAL, CLUSTERED, PROPORTION = list(coverage.TRIALS)[:3]
RATIO = "pooled ratio 0.7"


@pytest.mark.parametrize("name", [NORMAL, CLUSTERED, PROPORTION, RATIO])
@pytest.mark.parametrize("num", [5, 10, 20])
def test_normal_clustered_and_proportions(name, num):
    assert 0.93 < simulate_coverage(name, num, 1900).covered < 0.97


@pytest.mark.parametrize("name", [NORMAL, CLUSTERED, PROPORTION])
def test_from_fifty_on(name):
    assert 0.93 < simulate_coverage(name, 50, 1140).covered < 0.97


def test_a_broken_interval_is_noticed(monkeypatch):
    monkeypatch.setattr(intervals, "t_quantile", lambda level, degrees: 1.96)
    assert simulate_coverage(NORMAL, 5, 1000).covered < 0.91
    monkeypatch.undo()
    # members of a cluster as if they were independent
    monkeypatch.setattr(intervals, "cluster_means", lambda data, groups: data)
    assert simulate_coverage(CLUSTERED, 20, 1000).covered < 0.85


def test_counts(monkeypatch):
    held = intervals.Interval(0.0, -1.0, 1.0, 5, 5, "", skewed=True)
    monkeypatch.setitem(coverage.TRIALS, NORMAL, lambda rng, num, trial: (held, float(5 * (trial % 4 == 0))))
    assert simulate_coverage(NORMAL, 5, 8) == coverage.Coverage(0.75, 1.0)
    none = intervals.Interval(0.0, None, None, 5, 5, "")
    monkeypatch.setitem(coverage.TRIALS, NORMAL, lambda rng, num, trial: (none, 0.0))
    assert simulate_coverage(NORMAL, 5, 1) == coverage.Coverage(1.0, 0.0)
    assert coverage.CoverageConfig(num_trials=1).num_trials == 1
    monkeypatch.undo()
    assert simulate_coverage("uniform", 5, 40) == simulate_coverage("uniform", 5, 40, seed=0)
    assert len({simulate_coverage("uniform", 5, 40, seed=seed).marked for seed in range(4)}) > 1


def test_skewed_samples_are_marked_where_intervals_are_too_narrow():
    found = simulate_coverage("lognormal, sigma 1", 20, 500)
    assert found.covered < 0.92
    assert found.marked > 0.8
    assert simulate_coverage(NORMAL, 50, 100).marked < 0.02


def test_the_table(tmp_path, capsys):
    main(["num_trials=20", "sizes=[5,50]", f"out={tmp_path}/table.md"])
    text = (tmp_path / "table.md").read_text()
    assert capsys.readouterr().out == text
    lines = text.splitlines()
    assert lines[0] == "| coverage in % (marked in %) | n = 5 | n = 50 |"
    assert [line.split(" | ")[0][2:] for line in lines[2:]] == list(coverage.TRIALS)
