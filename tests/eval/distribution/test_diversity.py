"""Vendi score and intra-prompt distance against closed forms, all pairs, and the spread of many sets."""

import json
from pathlib import Path

import numpy as np
import pytest

from eval.catalog import axis_of
from eval.core.axes import Axis
from eval.core.manifest import Sample, write_manifest
from eval.core.video import write_video
from eval.distribution.diversity import Diversity, intra_prompt_distance, vendi_score
from eval.distribution.set_metric import score_set_metric
from eval.distribution.suite import FeatureSet
from eval.run import main
from src.core.errors import UserError
from tests.fixtures.feature_sets import normal


def definition(units):
    values = np.linalg.eigvalsh(units @ units.T / len(units))
    values = values[values > 1e-12]
    return np.exp(-(values * np.log(values)).sum())


@pytest.mark.parametrize(("num", "dim"), [(30, 8), (8, 30)])
def test_vendi_is_its_definition(num, dim):
    x = normal(0, num, dim) + 0.5
    units = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert vendi_score(FeatureSet.of(x, None, None)).mean == pytest.approx(definition(units), rel=1e-9)


def test_vendi_counts_what_is_different():
    axes = np.eye(6)
    assert vendi_score(FeatureSet.of(axes, None, None)).mean == pytest.approx(6)
    assert vendi_score(FeatureSet.of(np.repeat(axes[:2], 5, axis=0), None, None)).mean == pytest.approx(2)
    assert vendi_score(FeatureSet.of(3 * np.ones((7, 4)), None, None)).mean == pytest.approx(1)
    # of each video one, by the mean of its rows: (1, 1, 0), (0, 0, 2) and (4, 0, 0)
    rows = np.array([[2.0, 0, 0], [0, 2, 0], [0, 0, 2], [4, 0, 0]])
    found = vendi_score(FeatureSet.of(rows, ["a", "a", "b", "c"], None))
    units = np.array([[0.5**0.5, 0.5**0.5, 0], [0, 0, 1], [1, 0, 0]])
    assert (found.mean, found.num) == (pytest.approx(definition(units)), 3)


def test_the_interval_is_the_spread_of_other_sets():
    shift = np.array([2, 1, 0, 0, 0])
    sets = [vendi_score(FeatureSet.of(normal(s, 300, 5) + shift, None, None)) for s in range(60)]
    width = np.mean([each.high - each.low for each in sets])
    assert width == pytest.approx(2 * 1.96 * np.std([each.mean for each in sets]), rel=0.25)
    assert {each.method for each in sets} == {"t, linearized, of the logarithm"}


def test_distance_within_prompts_is_the_mean_over_pairs():
    x = normal(0, 14, 6) + 0.3
    videos, prompts = list(range(14)), ["a"] * 5 + ["b"] * 2 + ["c"] * 4 + ["d", "e", "f"]
    units = x / np.linalg.norm(x, axis=1, keepdims=True)
    within = [
        np.mean([1 - units[i] @ units[j] for i in rows for j in rows if i != j])
        for rows in ([0, 1, 2, 3, 4], [5, 6], [7, 8, 9, 10])
    ]
    found = intra_prompt_distance(FeatureSet.of(x, videos, prompts))
    assert (found.mean, found.num) == (pytest.approx(np.mean(within)), 3)
    one = intra_prompt_distance(FeatureSet.of(x[:5], videos[:5], prompts[:5]))
    assert (one.mean, one.num) == (pytest.approx(within[0]), 1)  # a single prompt, too
    assert intra_prompt_distance(FeatureSet.of(x, videos, videos)) == "no prompt has two videos"
    assert intra_prompt_distance(FeatureSet.of(x, videos, None)) == "no prompt has two videos"


def test_what_cannot_be_computed_has_a_reason():
    alone, none = score_set_metric(Diversity(), "toy", FeatureSet.of(np.ones((1, 3)), None, None), None)
    assert (alone.name, alone.error) == ("vendi_toy", "features: expected at least 2 rows, got 1")
    assert none.error == alone.error
    vendi, within = score_set_metric(Diversity(), "toy", FeatureSet.of(np.eye(3), None, None), None)
    assert vendi.error is None
    assert within.error == "no prompt has two videos"


def test_diversity_through_the_command_line(tmp_path: Path) -> None:
    samples = []
    for number in range(6):
        frames = np.full((2, 32, 32, 3), 40 * number, np.uint8)
        frames[:, : 4 * number] = 255
        write_video(tmp_path / f"{number}.mp4", frames, 8)
        samples.append(Sample(id=str(number), prompt=f"p{number // 2}", video=f"{number}.mp4"))
    write_manifest(tmp_path / "m.jsonl", samples)
    words = [f"manifest={tmp_path}/m.jsonl", f"out={tmp_path}/out", "metrics=[diversity]", "html_videos=0"]
    with pytest.raises(UserError, match="diversity needs a backbone"):
        main(words)
    main([*words, "backbones=[efflite0]", "sheet_rows=0"])
    records = [json.loads(line) for line in (tmp_path / "out/scores.jsonl").read_text().splitlines()]
    found = {each["score"]: each for each in records}
    assert found.keys() == {"vendi_efflite0", "intra_prompt_efflite0", "is_efflite0"}
    assert 1 < found["vendi_efflite0"]["mean"] < 6
    assert (found["vendi_efflite0"]["num"], found["intra_prompt_efflite0"]["num"]) == (6, 3)
    assert found["vendi_efflite0"]["sub_axis"] == "diversity"
    assert found["vendi_efflite0"]["measured"]["similarity"] == "cosine of the mean rows of videos"
    assert axis_of("diversity_efflite0") == Axis("quality", "diversity")
