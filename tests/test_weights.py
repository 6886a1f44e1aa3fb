"""The weights in weights/: unchanged files, and videos that score as their model card says."""

import csv
import hashlib
import json
from pathlib import Path

import pytest

from data import prepare
from data.bounce import prompts
from eval import run as eval_run
from eval.bounce_checker import video_to_audio
from src import generate

WEIGHTS = Path(__file__).parents[1] / "weights"
CARD = json.loads((WEIGHTS / "small/weights.json").read_text())
MAX_BYTES = {"small": 52e6}


@pytest.mark.parametrize("name", sorted(CARD["files"]))
def test_files_are_those_of_the_card(name: str) -> None:
    path, entry = WEIGHTS / "small" / name, CARD["files"][name]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"]
    assert path.stat().st_size == entry["bytes"]
    assert entry["sha256"] in (WEIGHTS / "small/README.md").read_text()


def test_a_clone_stays_small() -> None:
    for folder, most in MAX_BYTES.items():
        assert sum(path.stat().st_size for path in (WEIGHTS / folder).iterdir()) <= most


@pytest.mark.slow
def test_videos_score_as_stated_in_the_card(tmp_path: Path) -> None:
    """fp32 on every CPU; rounding differs between kinds of CPU, so two videos may be read otherwise."""
    num = CARD["scores"]["num_prompts"]
    requests, out = tmp_path / "prompts.jsonl", tmp_path / "videos"
    prompts.main(["configs/prompts/small.yaml", f"num_prompts={num}", f"out={requests}"])
    run = WEIGHTS / "small/video.safetensors"
    generate.main([f"run={run}", f"prompts={requests}", f"out={out}", "precision=fp32", "batch_size=32"])
    eval_run.main([f"manifest={out}/manifest.jsonl", f"out={tmp_path}/scores"])
    rows = list(csv.DictReader((tmp_path / "scores/table.csv").read_text().splitlines()))
    for score in ("subject", "motion"):
        row = next(row for row in rows if (row["slice"], row["score"]) == ("all", score))
        assert row["num_scored"] == str(num)
        assert abs(float(row["mean"]) * num - CARD["scores"][score]) <= 2


@pytest.mark.slow
def test_audio_follows_the_impacts_of_videos(tmp_path: Path) -> None:
    """Audio of test videos is scored by the onsets near impacts; 16 videos have about 90."""
    card, data, out = CARD["audio"], tmp_path / "data", tmp_path / "audio"
    others = [f"world.{name}.num_val_videos=1" for name in ("no_impacts", "text", "text_music")]
    number = f"world.impacts.num_val_videos={card['num_videos']}"
    config = "configs/data/bounce_audio_tiny_test.yaml"
    prepare.main([config, f"out={data}", "num_workers=0", number, *others])
    run, only = WEIGHTS / "small/audio.safetensors", "id_prefixes=[impacts/]"
    generate.main([f"run={run}", f"data={data}/val", only, f"out={out}", "precision=fp32"])
    video_to_audio.main([f"model={out}"])
    lines = (out / "video_to_audio.md").read_text().splitlines()
    rows = {cells[0].strip(): cells for line in lines if len(cells := line.strip("|").split("|")) > 5}
    assert float(rows["model"][5].split()[0]) >= card["min_onset_f1"]
    assert float(rows["model, shuffled"][5].split()[0]) <= 0.35
