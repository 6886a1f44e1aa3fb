"""Correlation of metrics with the exact checker: statistics against scipy, the page, and degraded videos."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, spearmanr

from eval import correlate
from eval.bounce_checker.checker import analyze_video, evaluate_reading
from eval.core.manifest import read_manifest
from eval.core.video import read_video
from eval.sanity import degraded
from src.core.errors import UserError


def test_statistics_are_those_of_scipy() -> None:
    random = np.random.default_rng(0)
    values, right = random.normal(size=80).round(1), (random.random(80) < 0.4).astype(float)
    assert correlate.spearman(values, right) == pytest.approx(spearmanr(values, right).statistic)
    u = mannwhitneyu(values[right == 1], values[right == 0]).statistic
    assert correlate.prefers_right(values, right) == pytest.approx(u / (right.sum() * (80 - right.sum())))
    assert np.isnan(correlate.spearman(np.ones(80), right))
    assert np.isnan(correlate.prefers_right(values, np.ones(80)))


def write_run(
    folder: Path, truth: dict[tuple[str, str], float], **metrics: dict[tuple[str, str], float]
) -> None:
    """Write what eval.run writes of a metric `low_level` and the checker."""
    folder.mkdir()
    lines = []
    for (system, name), right in truth.items():
        base = {"id": name, "system": system, "prompt": "", "reference": "", "pooled": {}, "tags": []}
        lines.append({**base, "metric": "bounce", "values": {"subject": right, "motion": 1.0, "camera": 0.0}})
        values = {score: found[system, name] for score, found in metrics.items()}
        lines.append({**base, "metric": "low_level", "values": values})
    (folder / "results.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    empty = dict.fromkeys(("text", "unit", "method", "reference_key"), "") | {"low": None, "high": None}
    counts = ("num", "num_groups", "num_scored", "num_samples", "reference_scored", "reference_samples")
    fixed = {**empty, **dict.fromkeys(counts, 1), "mean": 0.0, "skewed": False, "num_reference": None}
    fixed |= {"metric": "low_level", "slice": "all", "measured": {}}
    records = [
        {**fixed, "system": system, "score": score, "better": -1 if score == "blur" else 1}
        for system in {system for system, _ in truth}
        for score in metrics
    ]
    (folder / "scores.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    keys = [(system, str(n)) for system in ("good", "bad") for n in range(20)]
    truth = {key: float(key[0] == "good" or int(key[1]) < 5) for key in keys}
    random = np.random.default_rng(1)
    write_run(tmp_path / "run", truth, blur={key: -value for key, value in truth.items()},
              flicker={key: random.normal() for key in keys}, frozen=dict.fromkeys(keys, 0.0))  # fmt: skip
    return tmp_path / "run"


def test_a_metric_that_is_the_truth_and_one_that_is_noise(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    votes = run.parent / "votes"
    votes.mkdir()
    vote = {"metric": "low_level", "score": "blur", "measure": "pairwise_accuracy", "question": "overall",
            "value": 0.75, "low": 0.5, "high": 0.9}  # fmt: skip
    (votes / "agreement.jsonl").write_text(json.dumps(vote) + "\n")
    correlate.main([f"runs=[{run}]", f"out={run.parent}/out", f"agreement={votes}"])
    shown = capsys.readouterr().out
    assert "25 of 40 videos are right by bounce (subject, motion)" in shown
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in shown.splitlines()
        if line.startswith("| ")
    ]
    assert rows[1] == ["blur", "low_level", "overall", "1.00 [1.00, 1.00]", "1.00 [1.00, 1.00]", "40",
                       "overall 0.75 [0.50, 0.90]"]  # fmt: skip
    noise = next(row for row in rows if row[0] == "flicker")
    assert noise[2] == "frame consistency"
    low, high = (float(each) for each in noise[3].split("[")[1].rstrip("]").split(","))
    assert low < 0 < high
    frozen = next(row for row in rows if row[0] == "frozen")
    assert frozen[3:5] == ["–", "0.50 [0.50, 0.50]"]  # a constant: no correlation, and no preference
    with (run.parent / "out/correlation.csv").open(encoding="utf-8") as file:
        found: list[dict[str, Any]] = list(csv.DictReader(file))
    assert {each["measure"] for each in found if each["score"] == "blur"} == {"spearman", "prefers"}
    assert {(each["num_videos"], each["num_ids"]) for each in found} == {("40", "20")}
    page = (run.parent / "out/correlation.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert "flicker" in page


def test_what_tells_nothing_is_refused(run: Path, tmp_path: Path) -> None:
    words = [f"runs=[{run}]", f"out={tmp_path}/x"]
    with pytest.raises(
        UserError, match=r"bounce \(camera\) finds right and others that it finds wrong; all of"
    ):
        correlate.main([*words, "truth=[camera]"])
    with pytest.raises(UserError, match=r"vizdoom \(subject, motion\) finds right .*; none"):
        correlate.main([*words, "checker=vizdoom"])
    with pytest.raises(UserError, match=r"has no agreement\.jsonl"):
        correlate.main([*words, f"agreement={tmp_path}"])
    assert not (tmp_path / "x").exists()


def test_degraded_videos_have_the_facts_and_their_original(tmp_path: Path) -> None:
    names = "degradations=[ground truth,frozen,wrong colors]"
    degraded.main([f"out={tmp_path}", "num=1", "first_seed=4", "num_frames=16", "side=48", names])
    samples = read_manifest(tmp_path / "manifest.jsonl")
    assert [sample.system for sample in samples] == ["ground truth", "frozen", "wrong colors"]
    assert {sample.reference for sample in samples} == {"originals/4.mp4"}
    verdicts = []
    for sample in samples:
        assert sample.video is not None
        assert sample.facts is not None
        reading = analyze_video(read_video(tmp_path / sample.video).frames_THWC, 16)
        verdicts.append(evaluate_reading(reading, sample.facts))
    assert verdicts[0].subject
    assert not verdicts[2].subject
    with pytest.raises(UserError, match="did you mean frozen"):
        degraded.main([f"out={tmp_path}/x", "degradations=[frzen]"])
