from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eval.core.intervals import Interval
from eval.core.paired_tests import holm
from eval.core.results import FRACTION, Row, Score
from eval.core.scored_runs import ScoredSystem
from eval.core.system_pairs import compare_systems, correct_family, leaderboard_rows, measured_differences

SCORES = {
    "niqe": {"niqe": Score(-1)},
    "fidelity": {"psnr": Score(1), "si": Score(0)},
    "onsets": {"onset_f1": Score(1, FRACTION)},
}


def system(shift=0.0, num=12, seed=0, **changes):
    """A scored system whose values are those of others, shifted."""
    noise = np.random.default_rng(seed).normal(0, 0.1, num)
    ids = [f"v{i}" for i in range(num)]
    values = {name: float(i + shift + noise[i]) for i, name in enumerate(ids)}
    interval = Interval(0.0, -1.0, 1.0, num, num, "t")
    found = ScoredSystem(
        Path(),
        "",
        values={key: dict(values) for key in (("niqe", "niqe"), ("fidelity", "psnr"), ("fidelity", "si"))},
        pooled={("onsets", "onset_f1"): {name: (1.0 + (i % 2), 3.0) for i, name in enumerate(ids)}},
        prompts={name: f"prompt {name}" for name in ids},
        references=dict.fromkeys(ids, "aa"),
        measured={"niqe": {"version": "1", "scipy": "1.0"}, "fidelity": {"preprocessing": "none"}},
        rows=[Row(system="", metric="niqe", slice="all", num_samples=num, num_scored=num,
                  intervals={"niqe": interval}, reference_key="k")],
    )  # fmt: skip
    return replace(found, **changes)


def scores_of(found):
    return [(each.metric, each.score) for each in found]


def test_everything_in_common_is_compared():
    found, notes = compare_systems(system(), system(1.0, seed=1), SCORES)
    assert scores_of(found) == [
        ("onsets", "onset_f1"), ("niqe", "niqe"), ("fidelity", "psnr"), ("fidelity", "si"),
    ]  # fmt: skip
    assert notes == []
    by_name = {each.score: each for each in found}
    assert by_name["psnr"].interval.mean == pytest.approx(1, abs=0.1)
    assert by_name["psnr"].p < 0.001
    assert by_name["si"].p is None  # neither direction is better: no test
    assert by_name["onset_f1"].p is None  # equal


def test_samples_with_other_prompts_or_references_are_left_out():
    other = system(1.0)
    other.prompts["v0"] = "something else"
    other.references["v1"] = other.references["v2"] = "bb"
    found, notes = compare_systems(system(), other, SCORES)
    assert {each.interval.num for each in found} == {9}
    assert notes == [
        "1 samples with different prompts are left out, first 'v0'",
        "2 samples with different references are left out, first 'v1'",
    ]
    all_other = replace(other, prompts=dict.fromkeys(other.prompts, "x"))
    assert compare_systems(system(), all_other, SCORES)[0] == []


def test_samples_and_values_without_a_partner_are_counted():
    found, notes = compare_systems(system(num=12), system(num=9), SCORES)
    assert {each.interval.num for each in found} == {9}
    assert notes == ["3 samples of one system alone are left out"]
    lacking = system(1.0)
    del lacking.values["niqe", "niqe"]["v3"]
    found, notes = compare_systems(system(), lacking, SCORES)
    assert notes == ["niqe (niqe): 1 values without a partner are left out"]
    assert {each.score: each.interval.num for each in found}["niqe"] == 11


def test_metrics_measured_otherwise_are_not_compared():
    other = system(1.0)
    other.measured["fidelity"] = {"preprocessing": "resized"}
    other.measured["niqe"] = {"version": "1", "scipy": "2.0"}  # a library's version does not matter
    found, notes = compare_systems(system(), other, SCORES)
    assert scores_of(found) == [("onsets", "onset_f1"), ("niqe", "niqe")]
    assert notes == ["fidelity: not compared, measured otherwise: preprocessing: none | resized"]
    assert measured_differences({}, {"b": "x" * 60}) == [f"b: None | {'x' * 60}"]
    assert measured_differences({}, {"b": "x" * 61}) == [f"b: None | {'x' * 57}..."]
    assert measured_differences({"a": 1}, {"a": 1, "b": "x" * 99}) == [f"b: None | {'x' * 57}..."]


def test_the_leaderboard_marks_what_cannot_be_compared():
    first = system()
    (row,) = first.rows
    other = system(rows=[replace(row, num_scored=7, reference_key="l")])
    other.measured["niqe"] = {"version": "2"}
    one, two = leaderboard_rows({"a": first, "b": other}, first)
    assert (one.system, one.notes) == ("a", ())
    assert two.system == "b"
    assert two.notes == (
        "b: 7 samples scored, 12 of the baseline",
        "b: another reference set than the baseline's",
        "b: measured otherwise: version: 1 | 2",
    )


def test_holm_counts_the_tests_of_all_systems_and_no_others():
    pairs = [compare_systems(system(), system(shift, seed=2), SCORES)[0] for shift in (0.02, 0.05)]
    family = [each for pair in pairs for each in pair]
    tested = [each.p for each in family if each.p is not None]
    assert len(tested) == 4 < len(family) == 8
    corrected = correct_family(family)
    assert [each.p_holm for each in corrected if each.p is not None] == holm(tested)
    assert [each.p_holm for each in corrected if each.p is None] == [None] * 4
    assert scores_of(corrected) == scores_of(family)
