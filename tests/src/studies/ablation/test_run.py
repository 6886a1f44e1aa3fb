"""Every variant of the video ablation trains a few steps; finished ones are kept."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from src.core import config
from src.core.errors import UserError
from src.experiments import average
from src.experiments.config import AverageConfig
from src.flow.noise import torch_generator
from src.models.transformer.model import MediaTransformer
from src.runs import loading
from src.runs.config import VideoRunConfig
from src.streaming.schema.bucket import Bucket
from src.streaming.schema.records import LatentRecord
from src.streaming.schema.writer import LatentWriter
from src.studies.ablation import run as ablation
from src.studies.ablation.config import AblationConfig

ROOT = Path(__file__).resolve().parents[4]
ABLATIONS = ROOT / "configs" / "ablations"
SMALL = """
latents=latents train.max_steps=2 train.warmup_steps=1 train.precision=fp32 train.progress=false
train.sample_every=0 train.log_every=1 transformer.hidden_size=32 transformer.depth=2 transformer.ffn_dim=32
transformer.context_dim=16 text.hidden_size=16 text.depth=1 text.ffn_dim=16 flow.num_val_times=1
"""
FEW = [*(f"set.{word}" for word in SMALL.split()), "measure.prompts=''", "probe_steps=4"]


def write_toy_latents(root: Path) -> None:
    for split in ("train", "val"):
        with LatentWriter(root / split, "k") as writer:
            with writer.part(0) as part:
                for bucket in (Bucket(1, 48, 48), Bucket(16, 48, 48)):
                    for i in range(130):
                        shape = (32, -(-bucket.num_frames // 8), 6, 6)
                        moments = torch.rand(shape, generator=torch_generator(i, split)).half()
                        part.add(
                            LatentRecord(
                                id=f"{bucket.name}/{i}", moments_2CTHW=moments, bucket=bucket, fps=16.0,
                                captions=("a star",), content_sha256="c" * 64,
                            )
                        )  # fmt: skip
            writer.finish(1, {})


def test_variants_train_and_finished_ones_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    write_toy_latents(Path("latents"))
    root = Path("runs/ablations/video")
    ablation.run(config.load(AblationConfig, ABLATIONS / "video.yaml", FEW))
    rows = json.loads((root / "results.json").read_text())
    names = config.load(AblationConfig, ABLATIONS / "video.yaml").variants
    assert {row["variant"] for row in rows} == set(names)
    assert len(rows) == sum(len(variant.stages) for variant in names.values())
    assert all(row["metrics"]["val/loss"] > 0 for row in rows)
    last = {row["variant"]: row["metrics"]["val/loss"] for row in rows if row["last"]}
    assert last.pop("over_checkpoints") == last["base"]  # the same but for how often it is saved
    last.pop("joint_scratch")  # base for as many steps as the seconds allow, which may be as many
    assert len(set(last.values())) == len(last)
    firsts = [r for r in rows if r["stage"] in ("0_sft", "1_sft")]
    assert firsts[0]["metrics"] != firsts[1]["metrics"]  # two draws of one stage
    starts = [
        config.load(VideoRunConfig, root / s / "config.yaml").start_from
        for s in (
            "warm_up_joint/seed-0/1_joint",
            "sft_average/seed-0/0_sft",
            "sft_average/seed-0/1_sft",
        )
    ]
    assert [Path(s).name for s in starts] == ["0_t2i", "1_joint", "1_joint"]
    table = (root / "results.md").read_text()
    assert all(f"| {name} | 1 | " in table for name in names)
    assert " of warm_up_joint) | " in table

    stamps = {p: p.stat().st_mtime_ns for p in Path("runs").rglob("step-*.ckpt")}
    ablation.run(config.load(AblationConfig, ABLATIONS / "video.yaml", [*FEW, "only=[base]", "seeds=[0,1]"]))
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in stamps.items())
    again = json.loads((root / "results.json").read_text())
    assert len(again) == len(rows) + 1
    with pytest.raises(UserError, match="only: unknown variant 'bas'; known: base, diffusion"):
        ablation.run(config.load(AblationConfig, ABLATIONS / "video.yaml", ["only=[bas]"]))
    greedy_keeps_what_helps(root)


def greedy_keeps_what_helps(root: Path) -> None:
    """The same run twice changes nothing and is kept; a ruined one is left out."""
    good = root / "base/seed-0/0_joint"
    bad = Path(shutil.copytree(good, "bad"))
    path = bad / "checkpoints/step-00000002.ckpt"
    state = torch.load(path)
    for tensor in state["state_dict"].values():
        if tensor.is_floating_point() and tensor.dim() > 1:
            tensor.normal_(generator=torch.Generator().manual_seed(0))
    torch.save(state, path)
    overrides = ["name=soup", "select=greedy", "validate=true", f"inputs=[bad,{good},{good}]"]
    average.run(config.load(AverageConfig, None, overrides))
    steps = json.loads(Path("runs/soup/average/greedy.json").read_text())
    assert [s["kept"] for s in steps if "kept" in s] == [True, False]
    mean, kept = (loading.read_weights(p) for p in (Path("runs/soup"), good))
    assert all(torch.equal(mean[k], kept[k]) for k in mean)


@pytest.mark.parametrize(
    ("variant", "changed"),
    [
        ("diffusion", {"flow.objective", "flow.time_distribution", "flow.sampler.schedule"}),
        ("dit_block", {f"transformer.{key}" for key in ("norm", "ffn_kind", "bias", "ffn_dim")}),
        ("uniform_times", {"flow.time_distribution"}),
        ("first_positions", {"transformer.positions"}),
    ],
)
def test_variant_differs_from_the_base_in_its_subject_only(variant: str, changed: set[str]) -> None:
    paths = (ABLATIONS / "video" / f"{name}.yaml" for name in ("joint", variant))
    base, other = (config.flatten(config.load(VideoRunConfig, path)) for path in paths)
    assert {k for k in base if base[k] != other[k]} - {"name", "run_dir"} == changed


def test_the_dit_block_has_as_many_parameters() -> None:
    counts = []
    for name in ("joint", "dit_block"):
        with torch.device("meta"):
            model = MediaTransformer(
                config.load(VideoRunConfig, ABLATIONS / "video" / f"{name}.yaml").transformer
            )
        counts.append(sum(p.numel() for p in model.parameters()))
    assert counts[1] == pytest.approx(counts[0], rel=0.01)
