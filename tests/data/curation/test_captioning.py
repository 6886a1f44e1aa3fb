"""Captions by a tiny random model, resumed; camera labels before captions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from data.curation import captioning
from data.curation.config import CameraConfig, CaptionerConfig
from data.curation.truth.encoders import encode
from src.core.errors import UserError
from tests.fixtures.curation import moving_square

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.fixtures.captioner import save_captioner

    return save_captioner(tmp_path_factory.mktemp("captioner"))


def rows(*captions: list[str]) -> list[dict[str, Any]]:
    return [
        {"key": f"k{i}", "id": f"c{i}", "path": "a.mp4", "start_s": 0.0, "end_s": 0.5, "captions": list(each)}
        for i, each in enumerate(captions)
    ]


def test_frames_are_the_middles_of_equal_parts(tmp_path: Path) -> None:
    frames = moving_square(16, 4)
    path = encode(tmp_path, "a", frames, 16.0, "x264-18")
    found = captioning.read_frames(path, 0.0, 1.0, 4)
    assert len(found) == 4
    for image, t in zip(found, (2, 6, 10, 14), strict=True):
        distances = [np.abs(image.astype(int) - frame).mean() for frame in frames]
        assert int(np.argmin(distances)) == t


def test_clips_without_caption_get_the_model_s_and_a_second_run_asks_no_model(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode(tmp_path, "a", moving_square(8, 3), 16.0, "x264-18")
    config = CaptionerConfig(path=str(model), num_frames=2, max_new_tokens=5)
    first = rows([], ["mine"])
    captioning.caption_rows(first, config, tmp_path, tmp_path, Console())
    assert first[1]["captions"] == ["mine"]
    line = json.loads((tmp_path / "captions.jsonl").read_text())
    assert line["id"] == "c0"
    with (tmp_path / "captions.jsonl").open("a") as file:
        file.write('{"name": "k9/')  # cut off by an interruption
    monkeypatch.setattr(captioning, "load_captioner", None)
    second = rows([], ["mine"])
    captioning.caption_rows(second, config, tmp_path, tmp_path, Console())
    assert second == first


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        captioning.caption_rows(rows([]), CaptionerConfig(path="missing"), tmp_path, tmp_path, Console())
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="cannot be loaded"):
        captioning.Captioner(CaptionerConfig(path=str(tmp_path)))


def test_confident_camera_labels_come_before_captions() -> None:
    labels = [("pan right", 0.9), ("zoom in", 0.2), (None, None), ("static shot", 1.0)]
    clips = [
        {"camera_label": label, "camera_confidence": confidence, "captions": caption}
        for (label, confidence), caption in zip(labels, [["A dog."], ["A cat."], ["A car."], []], strict=True)
    ]
    assert captioning.prefix_camera(clips, CameraConfig(min_confidence=0.6)) == 2
    assert [c["captions"] for c in clips] == [["Pan right. A dog."], ["A cat."], ["A car."], ["Static shot."]]
