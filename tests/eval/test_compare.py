import csv
import itertools
from pathlib import Path

import numpy as np
import pytest

from eval.compare import CompareConfig, Comparison, compare, differences_markdown, is_better, main
from eval.config import EvalConfig
from eval.core.intervals import Interval
from eval.core.manifest import Sample, write_manifest
from eval.core.paired_tests import Difference, compare_systems, holm, permutation_p
from eval.core.results import FRACTION, Score
from eval.core.video import write_video
from eval.scoring import score
from src.core.errors import UserError
from tests.fixtures.videos import waves


def test_permutation_test_against_all_flips_and_the_t_test():
    from scipy.stats import ttest_1samp

    few = np.array([0.3, -0.1, 0.5, 0.2, 0.4])
    flips = [abs(np.dot(signs, few)) >= few.sum() - 1e-12 for signs in itertools.product((1, -1), repeat=5)]
    assert permutation_p(few) == np.mean(flips) == 2 * 2 / 32
    many = np.random.default_rng(0).normal(0.2, 1, 100)
    assert permutation_p(many) == pytest.approx(ttest_1samp(many, 0).pvalue, abs=0.01)
    grouped = permutation_p(np.repeat(many[:20], 5), np.repeat(np.arange(20), 5))
    assert grouped == pytest.approx(permutation_p(many[:20]), abs=0.02)
    assert permutation_p(np.ones(50)) == pytest.approx(1 / 10_001)
    assert permutation_p(np.zeros(50)) == 1


def test_the_test_keeps_its_level():
    rng = np.random.default_rng(3)
    rejected = [permutation_p(rng.normal(size=11), seed=i) <= 0.05 for i in range(300)]
    assert 0.02 < np.mean(rejected) < 0.09


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_only_common_samples_count():
    a = {("m", "s"): {"1": 1.0, "2": 2.0, "3": 3.0}, ("m", "t"): {"1": 0.0}}
    b = {("m", "s"): {"1": 2.0, "2": 3.0, "9": 100.0}}
    found, notes = compare_systems(a, b, {"1": "p", "2": "q", "3": "r"})
    assert [(d.score, d.interval.mean, d.interval.num) for d in found] == [("s", 1.0, 2)]
    assert notes == ["s (m): 2 values without a partner are left out"]


def write_provenance(root, runs):
    """Write the settings that eval.run writes next to the scores."""
    for run in map(Path, runs):
        (run / "config.yaml").write_text(f"manifest: {root / run.name / 'm.jsonl'}\n")


def test_differences_have_the_units_of_the_leaderboard():
    scores = {"m": {"subject": Score(1, FRACTION), "fd": Score(-1)}}
    found = [
        Difference("m", "subject", Interval(-0.25, -0.375, -0.125, 8, 8, ""), 0.0004, 0.0008),
        Difference("m", "fd", Interval(-1.5, -2.0, -1.0, 8, 8, ""), 0.01, 0.02),
        Difference("m", "fd", Interval(0.5, -2.0, 3.0, 8, 8, ""), 0.5, 0.5),
    ]
    assert [is_better(each, scores) for each in found] == [False, True, None]
    text = differences_markdown(Comparison("b", "a", found, ["a note"]), scores)
    assert "| m | subject % ↑ | **-25.0** [-37.5, -12.5] | 8 | <0.001 | <0.001 |" in text
    assert "| m | fd ↓ | +0.500 [-2.000, 3.000] | 8 | 0.500 | 0.500 |" in text
    assert text.endswith("\n\n- a note\n")


def test_runs_side_by_side(tmp_path, capsys):
    for name, step in (("first", 1), ("second", 2)):
        samples = []
        for seed in range(14):
            write_video(tmp_path / name / f"{seed}.mp4", waves(seed)[::step], 16)
            samples.append(Sample(id=str(seed), prompt=f"p{seed}", video=f"{seed}.mp4"))
        manifest = tmp_path / name / "m.jsonl"
        write_manifest(manifest, samples)
        score(
            EvalConfig(
                manifest=str(manifest),
                out=str(tmp_path / "scores" / name),
                metrics=("low_level",),
                sheet_rows=0,
                html_videos=0,
            )
        )
    runs = tuple(str(tmp_path / "scores" / name) for name in ("first", "second"))
    rows, (comparison,), _ = compare(CompareConfig(runs=runs, out=str(tmp_path / "out")))
    assert [(row.system, row.slice, row.num_scored, row.num_samples) for row in rows] == [
        ("first", "all", 14, 14),
        ("second", "all", 14, 14),
    ]
    assert comparison.title == "second minus first"
    with (tmp_path / "out" / "differences.csv").open() as file:
        found = {row["score"]: row for row in csv.DictReader(file)}
    assert float(found["change"]["low"]) > 0  # every second frame: larger steps
    assert float(found["change"]["p (Holm)"]) < 0.05
    assert float(found["change"]["p"]) <= float(found["change"]["p (Holm)"])
    write_provenance(tmp_path, runs)
    main([f"runs=[{','.join(runs)}]", f"out={tmp_path / 'out'}", "html_samples=3"])
    printed = capsys.readouterr().out
    assert "change levels" in printed
    assert "second minus first" in printed
    page = (tmp_path / "out" / "compare.html").read_text()
    assert page.count("<video") == 6
    assert page.index("<small>first</small>") < page.index("<small>second</small>")
    with pytest.raises(UserError, match=r"has no results\.jsonl"):
        main([f"runs=[{tmp_path}]", f"out={tmp_path / 'x'}"])
    with pytest.raises(ValueError, match="baseline: expected one of first, second, got 'third'"):
        compare(CompareConfig(runs=runs, out=str(tmp_path / "out"), baseline="third"))
