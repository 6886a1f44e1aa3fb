import csv
import json

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from eval.agreement import Vote, agreement, kendall, read_votes, spearman


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
    right = agreement(votes, truth)
    wrong = agreement(votes, {s: {i: -v for i, v in row.items()} for s, row in truth.items()})
    assert right["pairwise_accuracy"].value == 1
    assert wrong["pairwise_accuracy"].value == 0
    assert right["spearman_systems"].value == 1 == -wrong["spearman_systems"].value
    assert right["spearman_systems"].num == 3
    assert right["spearman_pairs"].value == pytest.approx(-wrong["spearman_pairs"].value)
    assert right["spearman_pairs"].value > 0.8


def test_chance_is_within_the_interval():
    truth, other = quality(200, "xy"), quality(200, "yx")
    rng = np.random.default_rng(5)
    random = {s: {i: rng.normal() for i in row} for s, row in other.items()}
    found = agreement(votes_of(truth, noise=1.0), random)
    for name, chance in (("pairwise_accuracy", 0.5), ("spearman_pairs", 0), ("kendall_pairs", 0)):
        assert found[name].low < chance < found[name].high
        assert found[name].low < found[name].value < found[name].high
    assert "spearman_systems" not in found
    constant = agreement(votes_of(truth), {s: dict.fromkeys(row, 1.0) for s, row in truth.items()})
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
        ({"item": "1"}, ":2: .*missing"),
        ({**rows[0], "system_a": "y", "system_b": "x"}, "'r1' has voted on '1' before"),
    ):
        (tmp_path / "v.jsonl").write_text("\n".join(map(json.dumps, [rows[0], bad])))
        with pytest.raises(ValueError, match=message):
            read_votes(tmp_path / "v.jsonl")
    (tmp_path / "v.jsonl").write_text("")
    with pytest.raises(ValueError, match="holds no vote"):
        read_votes(tmp_path / "v.jsonl")
    with pytest.raises(ValueError, match="no vote is on items"):
        agreement([Vote(item="9", system_a="x", system_b="y", vote="a")], quality(3))
