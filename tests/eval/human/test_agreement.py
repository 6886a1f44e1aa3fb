import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from eval.core.scored_runs import ScoredSystem
from eval.human.agreement import _format_cell, _notes_on_votes, main
from eval.human.analysis import metric_agreement
from eval.human.analysis.metric_agreement import (
    MEASURES,
    kendall,
    majority_outcomes,
    measure_agreement,
    order_accuracy,
    spearman,
)
from eval.human.analysis.net_wins import prompt_value
from eval.human.votes import Vote, read_votes
from src.core.errors import UserError


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch):
    monkeypatch.setattr(metric_agreement, "NUM_RESAMPLES", 60)


def votes_of(quality, noise=0.0, raters=3, seed=0):
    """Votes that follow `quality` (system -> item -> value) up to noise."""
    rng, out = np.random.default_rng(seed), []
    names = sorted(quality)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            for item in quality[a]:
                for rater in range(raters):
                    gap = quality[b][item] - quality[a][item] + noise * rng.normal()
                    vote = "tie" if abs(gap) < 0.05 else "a" if gap > 0 else "b"
                    # the pair is shown the other way round, as half of all pairs in a study are
                    out.append(Vote(item=item, system_a=b, system_b=a, vote=vote, rater=str(rater)))
    return out


def quality(num=60, systems="xyz"):
    rng = np.random.default_rng(1)
    return {s: {str(i): 0.4 * k + rng.normal() for i in range(num)} for k, s in enumerate(systems)}


def test_a_metric_that_is_the_truth_agrees_and_its_negative_does_not():
    truth = quality()
    votes = votes_of(truth)
    right = measure_agreement(votes, truth)
    wrong = measure_agreement(votes, {s: {i: -v for i, v in row.items()} for s, row in truth.items()})
    assert right["pairwise_accuracy"].value == 1
    assert wrong["pairwise_accuracy"].value == 0
    assert right["spearman_systems"].value == 1 == -wrong["spearman_systems"].value
    assert right["spearman_systems"].num == 3
    assert right["kendall_systems"].value == right["accuracy_systems"].value == 1
    assert wrong["accuracy_systems"].value == 0
    assert right["spearman_pairs"].value == pytest.approx(-wrong["spearman_pairs"].value)
    assert right["spearman_pairs"].value > 0.8


def test_chance_is_within_the_interval():
    truth, other = quality(200, "xy"), quality(200, "yx")
    rng = np.random.default_rng(5)
    random = {s: {i: rng.normal() for i in row} for s, row in other.items()}
    found = measure_agreement(votes_of(truth, noise=1.0), random)
    for name, chance in (("pairwise_accuracy", 0.5), ("spearman_pairs", 0), ("kendall_pairs", 0)):
        assert found[name].low < chance < found[name].high
        assert found[name].low < found[name].value < found[name].high
    assert "spearman_systems" not in found
    constant = measure_agreement(votes_of(truth), {s: dict.fromkeys(row, 1.0) for s, row in truth.items()})
    assert constant["pairwise_accuracy"].value == 0.5
    assert "spearman_pairs" not in constant


def vote(item, answer, rater="", a="x", b="y"):
    return Vote(item=str(item), system_a=a, system_b=b, vote=answer, rater=str(rater))


def test_the_majority_of_three_answers():
    """tie, tie, a is a tie: nothing is decided, and no metric can be wrong about it."""
    scores = {"x": {str(i): 0.0 for i in range(20)}, "y": {str(i): 1.0 for i in range(20)}}
    votes = [vote(i, answer, r) for i in range(20) for r, answer in enumerate(("tie", "tie", "a"))]
    assert "pairwise_accuracy" not in measure_agreement(votes, scores)
    votes += [vote(0, answer, r) for r, answer in enumerate("bb", 3)]  # tie, tie, a, b, b: no majority
    votes += [vote(1, answer, r) for r, answer in enumerate("aa", 3)]  # tie, tie, a, a, a
    found = measure_agreement(votes, scores)
    assert (found["pairwise_accuracy"].value, found["pairwise_accuracy"].num) == (0, 1)
    assert measure_agreement(votes, scores, no_majority="drop")["accuracy_systems"].num == 2
    values = {i: (5, 4, 3)[i % 3] + 0.01 * i for i in range(9)}
    several = {"x": {str(i): v for i, v in values.items()}, "y": {str(i): 3.5 for i in range(9)}}
    mixed = [vote(i, answer, r) for i in range(9) for r, answer in enumerate(("aab", "ab", "bba")[i % 3])]
    kept, dropped = (measure_agreement(mixed, several, no_majority=each) for each in ("tie", "drop"))
    assert (kept["spearman_pairs"].num, dropped["spearman_pairs"].num) == (9, 6)


def test_outcomes_are_those_of_net_win_rates():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 4, (300, 3))
    for rule in ("tie", "drop"):
        outcome, known = majority_outcomes(counts.astype(float), rule)
        for row, value, has in zip(counts, outcome, known, strict=True):
            answers = [1] * row[0] + [0] * row[1] + [-1] * row[2]
            expected = prompt_value(answers, rule) if answers else None
            assert (value if has else None) == expected


@pytest.mark.parametrize("no_majority", ["tie", "drop"])
def test_renaming_systems_changes_nothing(no_majority):
    truth = quality(25)
    rng = np.random.default_rng(3)
    metric = {s: {i: v + rng.normal() for i, v in row.items()} for s, row in truth.items()}
    votes = votes_of(truth, noise=1.0)
    before = measure_agreement(votes, metric, no_majority=no_majority)
    for names in ("xzy", "zyx", "yzx"):
        new = dict(zip("xyz", names, strict=True))
        renamed = [
            Vote(**{**vars(v), "system_a": new[v.system_a], "system_b": new[v.system_b]}) for v in votes
        ]
        after = measure_agreement(
            renamed, {new[s]: row for s, row in metric.items()}, no_majority=no_majority
        )
        for name, each in before.items():
            other = after[name]
            assert (other.value, other.low, other.high) == pytest.approx((each.value, each.low, each.high))
    swap = {"a": "b", "b": "a", "tie": "tie"}
    swapped = [
        Vote(**{**vars(v), "system_a": v.system_b, "system_b": v.system_a, "vote": swap[v.vote]})
        for v in votes
    ]
    assert measure_agreement(swapped, metric, no_majority=no_majority) == before


def test_notes_count_ties_lost_votes_and_items_without_a_majority():
    truth = quality(6, "xy")
    systems = {
        name: ScoredSystem(Path(), name, prompts=dict.fromkeys(row, "")) for name, row in truth.items()
    }
    votes = [vote(0, "tie"), vote(0, "tie"), vote(0, "a"), vote(1, "tie")]  # two ties
    votes += [vote(2, "a"), vote(2, "b"), vote(3, "a"), vote(3, "a", a="y", b="x")]  # two without a majority
    votes += [vote(4, "a"), vote(4, "b", a="y", b="x"), vote(4, "tie")]  # decided, in two orientations
    votes += [vote(9, "a"), vote(5, "a", a="z")]
    assert _notes_on_votes("motion", votes, systems) == [
        "motion: 2 of 13 votes are on no item or system of the runs",
        "motion: of 5 pairs 2 have a majority for a tie, 2 no majority",
    ]
    assert _notes_on_votes("", votes[:3], systems) == [
        "votes: of 1 pairs 1 have a majority for a tie, 0 no majority"
    ]


def test_both_orientations_of_a_pair():
    """One system is better by the metric and by the votes, always equally: agreement, not a constant."""
    scores = {"x": {str(i): 1.0 for i in range(12)}, "y": {str(i): 0.0 for i in range(12)}}
    found = measure_agreement([vote(i, "a") for i in range(12)], scores)
    assert found["spearman_pairs"].value == pytest.approx(1)
    assert found["kendall_pairs"].value == pytest.approx(1)
    assert found["spearman_pairs"].num == 12


def test_intervals_are_over_items(monkeypatch):
    """Four times the items, half the width; many votes on few items do not help."""
    monkeypatch.setattr(metric_agreement, "NUM_RESAMPLES", 300)
    monkeypatch.setattr(metric_agreement, "MEASURES", {"pairwise_accuracy": MEASURES["pairwise_accuracy"]})
    rng = np.random.default_rng(0)

    def width(num_items, num_raters):
        scores = {s: {str(i): rng.normal() for i in range(num_items)} for s in "xy"}
        votes = []
        for i in range(num_items):
            right = rng.random() < 0.7
            answer = "a" if (scores["x"][str(i)] > scores["y"][str(i)]) == right else "b"
            votes += [vote(i, answer) for _ in range(num_raters)]
        found = measure_agreement(votes, scores)["pairwise_accuracy"]
        assert (found.num_items, found.num_raters) == (num_items, num_items * num_raters)
        return found.high - found.low

    assert width(40, 3) / width(160, 3) == pytest.approx(2, rel=0.25)
    assert width(40, 30) == pytest.approx(width(40, 1), rel=0.3)
    assert measure_agreement([vote(i, "a") for i in range(4)], quality(4))["pairwise_accuracy"].low is None
    assert (
        measure_agreement([vote(i, "a") for i in range(5)], quality(5))["pairwise_accuracy"].low is not None
    )


def test_raters_are_drawn_too():
    """Two of three raters follow the metric, one opposes it: other raters could oppose it on every item."""
    scores = {"x": {str(i): 1.0 for i in range(60)}, "y": {str(i): 0.0 for i in range(60)}}
    named = [
        vote(i, answer, rater) for i in range(60) for rater, answer in (("p", "a"), ("q", "a"), ("r", "b"))
    ]
    found = measure_agreement(named, scores)["pairwise_accuracy"]
    assert found.value == 1
    assert (found.low, found.high) == (0, 1)
    assert (found.num_items, found.num_raters) == (60, 3)
    agreeing = [vote(i, "a", rater) for i in range(60) for rater in "pqr"]
    assert measure_agreement(agreeing, scores)["pairwise_accuracy"].low == 1


def test_net_wins_are_per_comparison():
    """A system in many comparisons that wins half of them is below one that wins all of its few."""
    scores = {"few": {str(i): 3.0 for i in range(10)}, "many": {str(i): 2.0 for i in range(40)},
              "last": {str(i): 1.0 for i in range(40)}}  # fmt: skip
    votes = [vote(i, "a", a="few", b="last") for i in range(10)]
    votes += [vote(i, "a" if i % 4 else "b", a="many", b="last") for i in range(40)]
    found = measure_agreement(votes, scores)
    assert found["spearman_systems"].value == pytest.approx(1)
    assert found["accuracy_systems"].value == 1
    assert found["kendall_systems"].num == 3


def test_correlations_against_scipy():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 5, 40).astype(float), rng.normal(size=40)
    assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic)
    assert kendall(x, y) == pytest.approx(kendalltau(x, y).statistic)


def test_both_formats(tmp_path):
    rows = [
        {
            "item": "1",
            "system_a": "x",
            "system_b": "y",
            "vote": "a",
            "axis": "overall",
            "rater": "r1",
            "s": 1,
        },
        {
            "item": "1",
            "system_a": "y",
            "system_b": "x",
            "vote": "tie",
            "axis": "overall",
            "rater": "r2",
            "s": 2,
        },
    ]
    (tmp_path / "v.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with (tmp_path / "v.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert read_votes(tmp_path / "v.jsonl") == read_votes(tmp_path / "v.csv")
    for bad, message in (
        ({**rows[0], "vote": "left"}, "v.jsonl:2: vote: expected a, b or tie, got 'left'"),
        ({**rows[0], "system_b": "x"}, "two different systems"),
        ({"item": "1"}, ":2: system_a: missing; a vote needs item, system_a, system_b, vote"),
        ([1], ":2: expected a JSON object, got list"),
        ({**rows[0], "system_a": "y", "system_b": "x"}, "'r1' voted twice on '1'"),
    ):
        (tmp_path / "v.jsonl").write_text("\n".join(map(json.dumps, [rows[0], bad])))
        with pytest.raises(ValueError, match=message):
            read_votes(tmp_path / "v.jsonl")
    (tmp_path / "v.jsonl").write_text("\n".join(["", json.dumps(rows[0]), "", json.dumps(rows[1]), "{"]))
    with pytest.raises(ValueError, match=r"v.jsonl:5: not JSON"):
        read_votes(tmp_path / "v.jsonl")
    (tmp_path / "v.csv").write_text("item,system_a,vote\n1,x,a\n")
    with pytest.raises(ValueError, match=r"v.csv:2: system_b: missing"):
        read_votes(tmp_path / "v.csv")
    (tmp_path / "v.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="contains no votes"):
        read_votes(tmp_path / "v.jsonl")
    with pytest.raises(ValueError, match="no vote is on items"):
        measure_agreement([Vote(item="9", system_a="x", system_b="y", vote="a")], quality(3))


def test_accuracy_over_systems_by_hand():
    x, y = np.array([1.0, 2, 2, 5]), np.array([0.0, 1, 2, 2])
    assert order_accuracy(x, y) == pytest.approx((1 + 1 + 1 + 0.5 + 1) / 5)  # one pair of y is a tie
    assert order_accuracy(x, np.zeros(4)) is None


def run_folder(root, truth, better):
    """Write those files of eval.run that are read."""
    root.mkdir()
    results, scores = [], []
    for system, row in truth.items():
        for item, value in row.items():
            values = {"subject": value, "bad": -value, "count": value}
            record = {"system": system, "id": item, "prompt": "", "metric": "bounce", "values": values}
            results.append({**record, "pooled": {}, "reference": ""})
        for score, way in better.items():
            interval = {"mean": 0, "low": 0, "high": 0, "num": 1, "num_groups": 1, "method": ""}
            interval |= {"skewed": False, "num_reference": None}
            line = {"system": system, "metric": "bounce", "slice": "all", "score": score, "better": way}
            line |= {"reference_scored": None, "reference_samples": None, "reference_key": "", "measured": {}}
            scores.append({**line, **interval, "num_scored": 1, "num_samples": 1, "unit": "", "text": ""})
    for name, lines in (("results", results), ("scores", scores)):
        (root / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_the_command_holds_every_score_against_every_axis(tmp_path, capsys):
    truth = quality(30)
    run_folder(tmp_path / "run", truth, {"subject": 1, "bad": -1, "count": 0})
    lines = [
        {**vars(vote), "axis": axis} for axis in ("overall", "motion") for vote in votes_of(truth, noise=0.1)
    ]
    (tmp_path / "v.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    main([f"votes={tmp_path}/v.jsonl", f"runs=[{tmp_path}/run]", f"out={tmp_path}/out"])
    with (tmp_path / "out" / "agreement.csv").open() as file:
        found = {(r["question"], r["score"], r["measure"]): r for r in csv.DictReader(file)}
    assert {key[0] for key in found} == {"overall", "motion"}
    assert {key[1] for key in found} == {
        "subject",
        "bad",
    }  # counts are neither
    for score in ("subject", "bad"):  # less is better turned round
        each = found["motion", score, "pairwise_accuracy"]
        assert float(each["low"]) <= float(each["value"]) <= float(each["high"])
        assert float(each["value"]) > 0.9
        assert float(found["overall", score, "kendall_systems"]["value"]) == 1
    assert {row["sub_axis"] for row in found.values()} == {"subject", "overall"}
    text = capsys.readouterr().out
    assert "## Alignment" in text
    assert "| subject | motion | bounce | subject | 0.9" in text
    assert "- motion: of 90 pairs " in text
    lost = {**lines[0], "item": "elsewhere"}
    (tmp_path / "v.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [*lines, lost]))
    main([f"votes={tmp_path}/v.jsonl", f"runs=[{tmp_path}/run]", f"out={tmp_path}/out", "no_majority=drop"])
    assert f"- overall: 1 of {len(lines) // 2 + 1} votes are on no item" in capsys.readouterr().out
    (tmp_path / "v.jsonl").write_text(json.dumps({**lines[0], "system_a": "p", "system_b": "q"}))
    with pytest.raises(UserError, match="systems of the runs: x, y, z; of the votes: p, q"):
        main([f"votes={tmp_path}/v.jsonl", f"runs=[{tmp_path}/run]", f"out={tmp_path}/out"])


def test_cells_have_bounds_where_there_are_some():
    assert _format_cell({"value": 0.5, "low": 0.25, "high": 0.75, "num": 8}) == "0.500 [0.250, 0.750], n=8"
    assert _format_cell({"value": 0.5, "low": None, "high": None, "num": 4}) == "0.500, n=4"
