"""configs/recipes/my_videos.yaml on a few short clips and few steps: from a folder to one page."""

import json
from pathlib import Path

import pytest

from src import train
from tests.src.experiments.test_own_videos import ROOT, write_clips

FEW = {
    "data.set": ["files.path=my_videos", "num_workers=0"],
    "latents.set": ["precision=fp32"],
    "finetuned.set": [
        "train.max_steps=2",
        "train.warmup_steps=1",
        "train.precision=fp32",
        "train.val_every=2",
    ],
    "before.set": ["sampler.num_steps=2", "precision=fp32"],
    "after.set": ["sampler.num_steps=2", "precision=fp32"],
}


@pytest.mark.long
def test_one_command_from_a_folder_to_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("configs", "weights"):
        Path(name).symlink_to(ROOT / name)
    write_clips(Path("my_videos"))
    overrides = [f"stages.{stage}.{text}" for stage, texts in FEW.items() for text in texts]
    train.main(["configs/recipes/my_videos.yaml", "run_dir=run", *overrides])
    assert Path("datasets/my_videos/DATA.md").is_file()
    held_out = [json.loads(line) for line in Path("run/held_out/originals.jsonl").read_text().splitlines()]
    assert held_out
    for folder in ("before", "after"):
        lines = Path("run", folder, "manifest.jsonl").read_text().splitlines()
        assert [json.loads(line)["prompt"] for line in lines] == [each["prompt"] for each in held_out]
        assert json.loads(Path(f"run/scores_{folder}/summary.json").read_text())["rows"]
    assert list(Path("run/page").glob("*.html"))
