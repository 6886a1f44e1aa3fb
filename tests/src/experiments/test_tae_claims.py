"""Every arm of the autoencoder's ablations takes a few steps, in the order of their starting points."""

from pathlib import Path

import pytest
import torch

from src import config, reconstruct, train
from src.experiments.tae import Config
from src.training import records
from tests.src.streaming.toys import write_pixels

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
ORDER = [
    "base",
    "frame",
    "3d",
    "factor4",
    "scratch",
    "channels4",
    "channels8",
    "opl_start",
    "opl_on",
    "opl_off",
]
SMALL = [
    "dataset=data",
    "model.widths=[8,8,16,16]",
    "data.streams.videos.batch_size=2",
    "data.streams.videos.crop=16",
    "data.val_batches=1",
    "data.val.videos.batch_size=2",
    "train.max_steps=2",
    "train.warmup_steps=1",
    "train.log_every=1",
    "train.val_every=2",
    "train.sample_every=0",
    "train.checkpoint_every=2",
    "train.precision=fp32",
    "train.progress=false",
]


def take_steps(path: Path) -> Config:
    images = "images" in config.load(Config, path).data.streams
    words = [*SMALL, *(["data.streams.images.batch_size=2", "data.streams.images.crop=16"] if images else [])]
    train.main([str(path), *words])
    return config.load(Config, path, words)


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Config]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("claims"))
        for split in ("train", "val"):
            write_pixels(Path("data") / split, {(16, 16, 16): 4, (1, 16, 16): 2})
        take_steps(CONFIGS / "tae" / "tiny_image.yaml")
        return {name: take_steps(CONFIGS / "claims" / f"tae_{name}.yaml") for name in ORDER} | {
            "root": Path.cwd()
        }  # type: ignore[dict-item]


def test_every_arm_is_in_the_order() -> None:
    assert {p.stem.removeprefix("tae_") for p in (CONFIGS / "claims").glob("tae_*.yaml")} == set(ORDER)


def test_arms_train_and_are_validated(arms: dict[str, Config]) -> None:
    root = arms["root"]
    for name in ORDER:
        lines = records.read(root / "runs" / "claims" / f"tae_{name}" / records.METRICS)
        assert [line["step"] for line in lines if "loss" in line][-1] == 2, name
        assert any("val/psnr" in line for line in lines), name
        assert ("outlier" in lines[0]) == (name == "opl_on"), name


def test_arms_differ_in_what_they_are_about(arms: dict[str, Config]) -> None:
    models = {name: arms[name].model for name in ORDER}
    assert {name: m.latent_channels for name, m in models.items() if m.latent_channels != 16} == {
        "frame": 8,
        "channels4": 4,
        "channels8": 8,
    }
    assert {name: m.temporal_factor for name, m in models.items() if m.temporal_factor != 8} == {
        "frame": 1,
        "factor4": 4,
    }
    assert {name: m.structure for name, m in models.items() if m.structure != "2.5d"} == {
        "frame": "frame",
        "3d": "3d",
    }
    started = {name for name in ORDER if arms[name].start_from}
    assert started == {"base", "3d", "factor4", "opl_on", "opl_off"}


def test_clips_of_a_prepared_data_set_are_reconstructed(
    arms: dict[str, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(arms["root"])
    out = Path("runs/claims/tae_base/reconstructed")
    reconstruct.main(["run=runs/claims/tae_base", "data=data/val", "clips=1"])
    names = sorted(p.name for p in out.glob("*0000*"))
    films = [f"16x16x16_0000{end}" for end in ("-frames.png", "-pair.mp4", ".mp4")]
    assert names == sorted([f"1x16x16_0000{end}" for end in ("-frames.png", "-pair.png", ".png")] + films)
    last = [line for line in records.read(out.parent / records.METRICS) if "val/psnr_videos" in line][-1]
    reconstruct.main(["run=runs/claims/tae_base", "data=data/val", "clips=0", "out=all"])
    rows = [line.split(",") for line in Path("all/scores.csv").read_text().splitlines()[1:]]
    psnr = [float(row[2]) for row in rows if row[0] in ("16x16x16_0000", "16x16x16_0001")]
    # Validation saw the first two films, in one tile as here.
    assert sum(psnr) / len(psnr) == pytest.approx(last["val/psnr_videos"], abs=1e-3)
    assert torch.tensor(psnr).isfinite().all()
