"""Tiny networks by path through `python -m data.curate`: aesthetics, SSCD, detector, captioner, phrases."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from data import curate
from data.curation.store import ScoreStore
from data.curation.truth.encoders import encode
from src.core import cli
from tests.fixtures.captioner import save_captioner
from tests.fixtures.curation import moving_square
from tests.fixtures.network_checkpoints import TOWER, save_clip, save_script

CONFIG = """
order: [humans, aesthetics, subject, near_duplicates]
steps:
  aesthetics: {ranges: {aesthetic_score: {min: 4, missing: reject}}}
  subject: {ranges: {subject_fraction: {min: 0.2, max: 0.3}}}
mixes:
  humans: {phrases: PHRASES, min: -1, fraction: 0.6}
near_duplicates: {cosine: 0.999, max_bits: 64}
scoring: {groups: [aesthetics, camera, fingerprint, subject]}
num_workers: 0
"""


class Quarters(torch.nn.Module):
    """A stand-in of SSCD: the means of the four quarters of each channel."""

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(x_NCHW, 2).flatten(1)


def save_detector(folder: Path) -> Path:
    """Write a YOLOS that always finds one object: the middle quarter of the frame."""
    from transformers import YolosConfig, YolosForObjectDetection, YolosImageProcessorPil

    model = YolosForObjectDetection(
        YolosConfig(**TOWER, image_size=[32, 32], patch_size=8, num_detection_tokens=2, num_labels=3)
    )
    labels, boxes = model.class_labels_classifier.layers[-1], model.bbox_predictor.layers[-1]
    for layer in (labels, boxes):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)  # boxes: sigmoid(0) = 0.5 for middle and size
    labels.bias.data[1] = 9.0
    model.save_pretrained(folder)
    YolosImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Arguments of a run with every network by path."""
    pytest.importorskip("transformers")
    root = tmp_path_factory.mktemp("networks")
    (root / "pool").mkdir()
    for number in range(2):
        encode(root / "pool", f"clip{number}", moving_square(8, 3, seed=10 * number), 16.0, "x264-18")
    (root / "verbs.txt").write_text("a dog runs\n")
    (root / "funnel.yaml").write_text(CONFIG.replace("PHRASES", str(root / "verbs.txt")))
    torch.save({"weight": torch.full((1, 16), 0.5), "bias": torch.tensor([5.0])}, root / "head.pth")
    return [
        str(root / "funnel.yaml"),
        f"path={root / 'pool'}",
        f"scoring.clip_l14={save_clip(root / 'clip')}",
        f"scoring.aesthetic_head={root / 'head.pth'}",
        f"scoring.copy_detection={save_script(Quarters(), root / 'sscd.pt')}",
        f"scoring.detector={save_detector(root / 'detector')}",
        f"captioner.path={save_captioner(root / 'captioner')}",
        "captioner.num_frames=2",
        "captioner.max_new_tokens=4",
        "camera.prefix=false",
    ]


def rows_of(out: Path) -> list[dict[str, Any]]:
    store = ScoreStore(out / "scores")
    return list(store.read(store.keys()).values())


def test_every_network_is_used_through_the_command_line(words: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli.run(curate.main, [*words, f"out={out}"]) == 0
    for row in rows_of(out):
        embedding = np.array(row["clip_embedding"])
        assert np.linalg.norm(embedding) == pytest.approx(1.0, abs=1e-3)
        assert row["aesthetic_score"] == pytest.approx(0.5 * embedding.sum() + 5.0, abs=1e-3)
        assert row["subject_fraction"] == pytest.approx(0.25, abs=0.01)
        assert len(row["embedding"]) == 12
    kept = [json.loads(line) for line in (out / "kept.jsonl").read_text().splitlines()]
    captions = [json.loads(line)["caption"] for line in (out / "captions.jsonl").read_text().splitlines()]
    assert [each["caption"] for each in kept] == [[caption] for caption in captions]
    assert all(captions)


def test_thresholds_of_networks_reject(words: list[str], tmp_path: Path) -> None:
    for score, step in (
        ("aesthetics.ranges.aesthetic_score", "aesthetics"),
        ("subject.ranges.subject_fraction", "subject"),
    ):
        out = tmp_path / step
        assert cli.run(curate.main, [*words, f"out={out}", f"steps.{score}.min=9"]) == 2
        steps = {row["step"] for row in pq.read_table(out / "decisions.parquet").to_pylist()}
        assert steps == {step}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("scoring.aesthetic_head=HERE/wrong.pth", "for 3 dimensions"),
        ("scoring.clip_l14=HERE/nothing", "nothing"),
        ("scoring.copy_detection=HERE/nothing.pt", "nothing.pt"),
        ("scoring.detector=HERE", "scoring.detector"),
        ("captioner.path=HERE/nothing", "no such folder"),
        ("scoring.clip_l14=", "need scoring.clip_l14"),
    ],
)
def test_a_wrong_network_ends_in_one_line(
    words: list[str], override: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"weight": torch.zeros(1, 3), "bias": torch.zeros(1)}, tmp_path / "wrong.pth")
    arguments = [*words, f"out={tmp_path / 'out'}", override.replace("HERE", str(tmp_path))]
    assert cli.run(curate.main, arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
