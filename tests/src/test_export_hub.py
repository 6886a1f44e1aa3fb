"""A folder for a model hub: complete, loaded in three lines, and a run wherever a run is expected."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard
from omegaconf import OmegaConf

from src import export, generate
from src.core import cli
from src.inference.hub_folder import load_pipeline
from src.streaming.schema.bucket import Bucket
from tests.fixtures.toy_data import write_latents
from tests.fixtures.toy_runs import write_toy_runs

ROW = {"system": "toy", "metric": "bounce", "slice": "all", "intervals": {"subject": {"mean": 0.985}}}
ROW["intervals"]["subject"] |= {"low": 0.957, "high": 0.995, "num": 200}  # type: ignore[index]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hub")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_toy_runs(root)
        write_latents(Path("gone/train"), {Bucket(16, 32, 32): 3})
        rows = [ROW, {**ROW, "slice": "held-out"}]
        Path("scores").mkdir()
        Path("scores/summary.json").write_text(json.dumps({"rows": rows}))
        args = ["run=video", "tae=tae", "format=hub", "out=folder", "scores=scores", "license=apache-2.0"]
        assert cli.run(export.main, args) == 0
        shutil.rmtree("gone")
    return root


@pytest.fixture(autouse=True)
def _inside(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)


def test_the_card_is_one_that_the_hub_reads() -> None:
    text = Path("folder/README.md").read_text()
    header, body = text.split("---\n")[1:3]
    fields = OmegaConf.to_container(OmegaConf.create(header))
    assert (fields["license"], fields["pipeline_tag"]) == ("apache-2.0", "text-to-video")  # type: ignore[index, call-overload]
    card = ModelCard(text, ignore_metadata_errors=False)
    assert card.data.eval_results is not None
    assert [(r.metric_name, r.metric_value) for r in card.data.eval_results] == [("subject", 0.985)]
    for words in ("0.957 to 0.995", "| videos | not stated | 3 |", "load_pipeline", "1x32x32, 16x32x32"):
        assert words in body


def test_three_lines_of_the_card_generate() -> None:
    code = Path("folder/README.md").read_text().split("```python\n")[1].split("```")[0]
    assert len(code.splitlines()) == 3
    names: dict[str, object] = {}
    exec(code, names)
    frames = names["frames"]
    assert isinstance(frames, np.ndarray)
    assert (frames.dtype, frames.shape) == (np.dtype("uint8"), (1, 16, 32, 32, 3))
    expected = load_pipeline("video", tae="tae").generate(["A red star moves right."])
    assert np.array_equal(frames, expected)


def test_the_folder_stands_for_the_run() -> None:
    shutil.copytree("folder", "moved")
    assert cli.run(generate.main, ["run=moved", "prompt=a star", "num_frames=1"]) == 0
    entry = json.loads(Path("moved/generated/manifest.jsonl").read_text())
    assert entry["system"] == "moved"
    index = json.loads(Path("folder/model_index.json").read_text())
    assert set(index) == {"_class_name", "transformer", "vae"}
    for part in ("transformer", "vae"):
        assert json.loads(Path("folder", part, "config.json").read_text())["latent_channels"] == 4


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["out=folder"], "out=folder: already exists"),
        (["out=new", "scores=video"], "scores=video: not the results of eval.run"),
        (["out=new", "run=tae"], "tae: expected a video run, got tae"),
    ],
)
def test_mistakes(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(export.main, ["run=video", "tae=tae", "format=hub", *args]) == 2
    assert message in capsys.readouterr().err
    assert not Path("new").exists()
