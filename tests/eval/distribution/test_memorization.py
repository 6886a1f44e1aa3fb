"""Nearest videos of the reference against all pairs, copies, and the files of a run."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.core.manifest import Sample, write_manifest
from eval.core.video import write_video
from eval.distribution.memorization import Memorization, find_nearest
from eval.distribution.set_metric import score_set_metric
from eval.distribution.suite import FeatureSet
from eval.run import main
from tests.fixtures.feature_sets import normal


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_nearest_is_that_of_all_pairs():
    x, y = normal(0, 30, 5), normal(1, 2100, 5)  # more than a block
    found = find_nearest(FeatureSet.of(x, None, None), FeatureSet.of(y, None, None))
    cosines, own = unit(x) @ unit(y).T, unit(y) @ unit(y).T - 2 * np.eye(2100)
    assert np.array_equal(found.index, cosines.argmax(1))
    assert found.cosine == pytest.approx(cosines.max(1))
    assert np.array_equal(found.authentic, cosines.max(1) < own.max(1)[cosines.argmax(1)])


def test_copies_differ_from_others_of_the_same_kind():
    y = normal(0, 200, 6)
    copies = score_set_metric(Memorization(), "toy", *(FeatureSet.of(z, None, None) for z in (2 * y[:50], y)))
    assert [each.interval.mean for each in copies] == pytest.approx([1, 0])
    others = score_set_metric(
        Memorization(), "toy", *(FeatureSet.of(normal(s, 200, 6), None, None) for s in (1, 0))
    )
    assert others[1].interval.mean == pytest.approx(0.5, abs=0.1)
    # a video of two rows is the mean of them: a copy of the first of the reference
    pair = FeatureSet.of(np.array([[2.0, 0, 1], [0, 2, 1]]), ["a", "a"], None)
    known = FeatureSet.of(np.array([[1.0, 1, 1], [1, 0, 0], [0.9, 0.1, 0]]), None, None)
    found = find_nearest(pair, known)
    assert (found.index.tolist(), found.cosine.tolist()) == ([0], pytest.approx([1]))


def test_what_it_needs_is_said():
    one = FeatureSet.of(np.ones((1, 3)), None, None)
    assert {each.error for each in score_set_metric(Memorization(), "toy", one, None)} == {
        "needs the training set: reference=..."
    }
    assert {each.error for each in score_set_metric(Memorization(), "toy", one, one)} == {
        "the reference has one video"
    }


def test_a_run_lists_the_pairs_and_draws_them(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name, num in (("train", 4), ("made", 3)):
        samples = []
        for number in range(num):
            frames = np.kron(random.integers(0, 255, (2, 4, 4, 3), np.uint8), np.ones((1, 8, 8, 1), np.uint8))
            if name == "made" and number == 1:
                (tmp_path / name / "1.mp4").write_bytes((tmp_path / "train" / "2.mp4").read_bytes())
            else:
                write_video(tmp_path / name / f"{number}.mp4", frames, 8)
            samples.append(Sample(id=f"{name}{number}", prompt="blocks", video=f"{number}.mp4"))
        write_manifest(tmp_path / name / "m.jsonl", samples)
    main([f"manifest={tmp_path}/made/m.jsonl", f"reference={tmp_path}/train/m.jsonl", f"out={tmp_path}/out",
          "metrics=[memorization]", "backbones=[efflite0]", "html_videos=0", "sheet_rows=2"])  # fmt: skip
    with (tmp_path / "out/neighbors.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [rows[0][key] for key in ("id", "nearest", "cosine", "authentic")] == [
        "made1",
        "train2",
        "1.000000",
        "False",
    ]
    assert len(rows) == 3
    assert rows[1]["cosine"] >= rows[2]["cosine"]
    with Image.open(tmp_path / "out/neighbors.png") as sheet:
        assert sheet.size[1] > 4 * 130  # two pairs, a card for each video
    records = [json.loads(line) for line in (tmp_path / "out/scores.jsonl").read_text().splitlines()]
    found = {each["score"]: each["mean"] for each in records if each["metric"] == "memorization_efflite0"}
    assert found["authentic_efflite0"] <= 2 / 3
    assert found["nearest_efflite0"] < 1
