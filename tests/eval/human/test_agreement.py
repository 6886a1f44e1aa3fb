import csv
import json

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from eval.human.agreement import kendall, main, measure_agreement, order_accuracy, spearman
from eval.human.votes import Vote, read_votes
from src.core.errors import UserError


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
            values = {"good": value, "bad": -value, "count": value}
            results.append({"system": system, "id": item, "prompt": "", "metric": "m", "values": values})
        for score, way in better.items():
            interval = {"mean": 0, "low": 0, "high": 0, "num": 1, "num_groups": 1, "method": ""}
            line = {"system": system, "metric": "m", "slice": "all", "score": score, "better": way}
            scores.append({**line, **interval, "num_scored": 1, "num_samples": 1, "unit": "", "text": ""})
    for name, lines in (("results", results), ("scores", scores)):
        (root / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_the_command_holds_every_score_against_every_axis(tmp_path, capsys):
    truth = quality(30)
    run_folder(tmp_path / "run", truth, {"good": 1, "bad": -1, "count": 0})
    lines = [
        {**vars(vote), "axis": axis} for axis in ("overall", "motion") for vote in votes_of(truth, noise=0.1)
    ]
    (tmp_path / "v.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    main([f"votes={tmp_path}/v.jsonl", f"runs=[{tmp_path}/run]", f"out={tmp_path}/out"])
    with (tmp_path / "out" / "agreement.csv").open() as file:
        found = {(r["axis"], r["score"], r["measure"]): r for r in csv.DictReader(file)}
    assert {key[0] for key in found} == {"overall", "motion"}
    assert {key[1] for key in found} == {
        "good",
        "bad",
    }  # counts are neither
    for score in ("good", "bad"):  # less is better turned round
        each = found["motion", score, "pairwise_accuracy"]
        assert float(each["low"]) <= float(each["value"]) <= float(each["high"])
        assert float(each["value"]) > 0.9
        assert float(found["overall", score, "kendall_systems"]["value"]) == 1
    assert "| motion | m | good | 0.9" in capsys.readouterr().out
    (tmp_path / "v.jsonl").write_text(json.dumps({**lines[0], "system_a": "p", "system_b": "q"}))
    with pytest.raises(UserError, match="systems of the runs: x, y, z; of the votes: p, q"):
        main([f"votes={tmp_path}/v.jsonl", f"runs=[{tmp_path}/run]", f"out={tmp_path}/out"])
