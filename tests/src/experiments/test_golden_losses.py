"""The first 20 losses of every tiny config, kept: a change of arithmetic shows here and is made on purpose.

Regenerate with: python -m tests.src.experiments.test_golden_losses
"""

import json
import tempfile
from pathlib import Path

import pytest

from data import prepare
from src import train

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "golden" / "losses.json"
STEPS = 20
STAGES = {  # in the order of the tiny recipe: what each needs from the stages before
    "tae/tiny_image": ["dataset=data"],
    "tae/tiny": ["dataset=data", "start_from=tae/tiny_image"],
    "tae/tiny_latents": ["data=data", "tae=tae/tiny"],
    "video/tiny_t2i": ["latents=tae/tiny_latents"],
    # at its own 8e-3 twenty steps are chaotic: one CPU differs from another by more than the tolerance
    "video/tiny_joint": ["latents=tae/tiny_latents", "start_from=video/tiny_t2i", "train.lr=2.0e-3"],
    "video/tiny_sft": ["latents=tae/tiny_latents", "start_from=video/tiny_joint"],
}
VIDEOS = [
    f"world.{kind}.{videos}"
    for kind in ("videos", "images")
    for videos in ("num_videos=128", "num_val_videos=128")
]


def losses() -> dict[str, list[float]]:
    """Loss of each step by config, from nothing, in the current directory."""
    prepare.main([str(ROOT / "configs/data/bounce_tiny.yaml"), "out=data", "workers=0", *VIDEOS])
    found = {}
    for name, settings in STAGES.items():
        words = [str(ROOT / f"configs/{name}.yaml"), f"run_dir={name}", *settings]
        if name != "tae/tiny_latents":
            words += [f"train.max_steps={STEPS}", "train.warmup_steps=5", "train.log_every=1"]
            words += ["train.val_every=0", "train.sample_every=0", "train.progress=false"]
        train.main(words)
        if name != "tae/tiny_latents":
            lines = map(json.loads, Path(name, "metrics.jsonl").read_text(encoding="utf-8").splitlines())
            found[name] = [round(line["train/loss"], 4) for line in lines if "train/loss" in line]
    return found


def test_losses_are_what_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five per cent: another CPU rounds bfloat16 sums otherwise, and twenty steps let that grow."""
    monkeypatch.chdir(tmp_path)
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    found = losses()
    assert found.keys() == golden.keys()
    for name, values in golden.items():
        assert len(values) == STEPS
        assert found[name] == pytest.approx(values, rel=0.05), name


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        GOLDEN.write_text(json.dumps(losses(), indent=1) + "\n", encoding="utf-8")
