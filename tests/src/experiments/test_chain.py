"""The whole chain at toy size, in one process: videos, TAE, latents, stages, average, generation, scores."""

import errno
import hashlib
import json
from pathlib import Path

import pytest
import torch

from data import prepare
from data.bounce import prompts
from eval.core.manifest import read_manifest
from eval.core.video import read_video
from src import generate, train
from src.core import cli
from src.core.errors import UserError
from src.experiments import encode_latents
from src.inference import pipeline
from src.models.tae.model import TAE
from src.streaming.schema import part_writer
from src.streaming.schema.dataset_index import read_info
from src.training.modules.video_model import VideoModel

TAE_YAML = """
experiment: tae
name: tae
dataset: data
model:
  channels: [8, 16, 16, 16]
  latent_channels: 4
  num_blocks: 1
  norm: rms
  attention: false
data:
  streams:
    videos: {path: "${dataset}/train", media: videos, weight: 3, batch_size: 4}
    images: {path: "${dataset}/train", media: images, weight: 1, batch_size: 4}
  val:
    videos: {path: "${dataset}/val", media: videos, batch_size: 4}
train: {max_steps: 4, val_every: 4, checkpoint_every: 2, progress: false}
"""
VIDEO = """
experiment: video
name: video
latents: latents
transformer:
  {hidden_size: 32, depth: 2, num_heads: 2, ffn_dim: 32, latent_channels: 4, patch: [1, 1, 1], max_positions:
  [2, 4, 4], context_dim: 32}
text: {hidden_size: 32, depth: 1, num_heads: 2, ffn_dim: 32}
data:
  streams:
    videos: {path: "${latents}/train", media: videos, batch_size: 4}
  val:
    videos: {path: "${latents}/val", media: videos, batch_size: 4}
train: {max_steps: 3, val_every: 3, checkpoint_every: 2, sample_every: 3, progress: false}
samples: {number: 1}
"""
DATA = """
out: data
num_workers: 0
world:
  videos: {num_videos: 12, num_val_videos: 4, world: &solo {max_objects: 1, cameras: [static shot]}}
  images: {num_videos: 8, num_val_videos: 4, num_frames: 1, world: *solo}
"""


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything trained in one folder."""
    root = tmp_path_factory.mktemp("chain")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for name, text in (("tae", TAE_YAML), ("video", VIDEO), ("data", DATA)):
            Path(f"{name}.yaml").write_text(text)
        prepare.main(["data.yaml"])
        train.main(["tae.yaml", "run_dir=tae"])
        Path("latents.yaml").write_text(
            "{experiment: encode_latents, tae: tae, data: data, run_dir: latents}"
        )
        train.main(["latents.yaml"])
        train.main(["video.yaml", "run_dir=a"])
        for seed, run in ((1, "b"), (2, "c")):
            train.main(["video.yaml", f"run_dir={run}", "start_from=a", f"train.seed={seed}"])
        Path("average.yaml").write_text("{experiment: average, name: mean, run_dir: mean, inputs: [b, c]}")
        train.main(["average.yaml"])
        prompts.main(["prompts.jsonl", "num_prompts=3", "world.max_objects=1"])
    return root


def make(chain: Path, out: str, *words: str) -> list[dict]:
    settings = ["run=mean", f"out={out}", "sampler.num_steps=2", "precision=fp32", *words]
    generate.main(settings)
    lines = (chain / out / "manifest.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("*/*.*"))}


def test_stages_start_from_the_weights_before(chain: Path) -> None:
    a, b = (torch.load(chain / run / "checkpoints" / "step-00000003.ckpt")["state_dict"] for run in "ab")
    mean = torch.load(chain / "mean" / "checkpoints" / "step-00000000.ckpt")["state_dict"]
    key = "transformer.blocks.0.attention.qkv.linear.weight"
    assert not torch.equal(a[key], b[key])
    assert (a[f"ema.{key}"] - b[key]).norm() < 0.5 * a[key].norm()
    c = torch.load(chain / "c" / "checkpoints" / "step-00000003.ckpt")["state_dict"]
    torch.testing.assert_close(mean[key], (b[f"ema.{key}"] + c[f"ema.{key}"]) / 2)


def test_latents_carry_statistics_and_a_key(chain: Path) -> None:
    info = read_info(chain / "latents" / "train")
    assert info.records == 20
    assert info.statistics is not None
    assert len(info.statistics["mean"]) == 4
    assert info.provenance["tae"] == "tae"


def test_generation_repeats_byte_for_byte_and_seeds_differ(
    chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(chain)
    entries = make(chain, "one", "prompts=prompts.jsonl", "prompt=A red star, moving: 1/2 way.")
    assert [e["id"] for e in entries] == ["0000", *(f"test-{i:04d}" for i in range(3))]
    assert entries[0]["prompt"] == "A red star, moving: 1/2 way."
    assert entries[1]["facts"]["objects"]
    make(chain, "two", "prompts=prompts.jsonl", "prompt=A red star, moving: 1/2 way.")
    make(chain, "three", "prompts=prompts.jsonl", "prompt=A red star, moving: 1/2 way.", "seed=9")
    assert digests(chain / "one") == digests(chain / "two")
    assert digests(chain / "one") != digests(chain / "three")


def test_one_frame_makes_images(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(chain)
    (entry,) = make(chain, "pictures", "prompt=A red star.", "num_frames=1")
    assert entry["image"].endswith(".png")
    assert (chain / "pictures" / entry["image"]).stat().st_size > 100


def test_videos_are_decoded_in_tiles(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of time and of frames are what the decoder sees, blended as everywhere; several seeds each."""
    monkeypatch.chdir(chain)
    seen: list[torch.Size] = []
    decode = TAE.decode

    def spy(self: TAE, latent_BCTHW: torch.Tensor, *given: object) -> torch.Tensor:
        seen.append(latent_BCTHW.shape)
        return decode(self, latent_BCTHW, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(TAE, "decode", spy)
    words = ["prompt=A red star.", "seeds_per_prompt=2", "height=16"]
    make(chain, "untiled", *words)
    (full,) = seen
    seen.clear()
    tiles = ["tiling.frames=8", "tiling.overlap=0", "tiling.size=16", "tiling.size_overlap=8"]
    entries = make(chain, "tiled", *words, *tiles)
    assert len(entries) == 2
    assert len({e["seed"] for e in entries}) == 2
    assert {s[0] for s in seen} == {2}
    assert sum(s[2] for s in seen) == 3 * full[2]  # three squares cover each frame
    assert max(s[2:].numel() for s in seen) < full[2:].numel()
    for entry in entries:
        assert read_video(chain / "tiled" / entry["video"]).frames_THWC.shape == (16, 16, 32, 3)
    assert digests(chain / "tiled") != digests(chain / "untiled")


def test_stale_latents_are_noticed(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(chain)
    newest = chain / "tae" / "checkpoints" / "step-00000004.ckpt"
    full = newest.read_bytes()
    state = torch.load(newest)
    state["state_dict"]["ema.tae.encoder.conv_in.0.bias"] += 1
    torch.save(state, newest)
    try:
        with pytest.raises(UserError, match="stale cache"):
            train.main(["video.yaml", "run_dir=stale"])
    finally:
        newest.write_bytes(full)


def test_rewritten_prompts_are_printed_read_and_recorded(
    chain: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(chain)
    read: list[str] = []
    sample = pipeline.sample_latents

    def spy(model: VideoModel, prompts: list[str], *given: object, **named: object) -> torch.Tensor:
        read.extend(prompts)
        return sample(model, prompts, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "sample_latents", spy)
    words = ["prompt=red star", "prompt=no shape", "seeds_per_prompt=2"]
    entries = make(chain, "rewritten", *words, "rewrite.backend=bounce")
    star = "Static shot. A red star stays still."
    assert [e["prompt"] for e in entries] == ["red star"] * 2 + ["no shape"] * 2
    assert [e["rewritten"] for e in entries] == [star] * 2 + ["no shape"] * 2
    assert read == [f"FPS-16 {e['rewritten']}" for e in entries]
    printed = capsys.readouterr().out
    assert printed.count(f"prompt:    red star\nrewritten: {star}\n") == 1
    (original,) = make(chain, "as_asked", "prompt=red star")
    assert "rewritten" not in original
    assert "rewritten:" not in capsys.readouterr().out
    assert read[4:] == ["FPS-16 red star"]
    assert read_manifest(chain / "rewritten/manifest.jsonl")[0].rewritten == star


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run=mean", "prompt=x", "rewrite.backend=model"], "rewrite: path='' and backend=model: "),
        (
            ["run=mean", "prompt=x", "rewrite.backend=model", "rewrite.path=gone"],
            "rewrite.path=gone: not a checkpoint",
        ),
        (["run=nowhere", "prompt=x"], "nowhere: not a run directory"),
        (["run=mean"], "no prompts"),
        (["run=mean", "prompts=missing.txt"], "missing.txt: no such file"),
        (["run=mean", "prompt=x", "height=20"], "height=20: must be a multiple of 8 up to 32"),
        (["run=mean", "prompt=x", "width=64"], "width=64: must be a multiple of 8 up to 32"),
        (["run=mean", "prompt=x", "num_frames=17"], "num_frames=17: must be at most 16"),
        (["run=mean", "prompt=x", "tiling.size=12", "tiling.size_overlap=4"], "tiling.size must be a mul"),
    ],
)
def test_generation_mistakes_are_one_line_and_exit_code_two(
    chain: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(chain)
    assert cli.run(generate.main, words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_training_mistakes_are_one_line_and_exit_code_two(
    chain: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(chain)
    for words, message in (
        (["video.yaml", "train.lrr=3"], "unknown key train.lrr; did you mean train.lr?"),
        (["video.yaml", "train.max_steps=many"], "train.max_steps: Value 'many'"),
        (["nothing.yaml"], "config file not found: nothing.yaml"),
        (["video.yaml", "experiment=vide"], "did you mean video?"),
        (["video.yaml", "run_dir=a", "train.lr=0.5"], "holds a run with other settings: train.lr was"),
        (["video.yaml", "run_dir=d", "start_from=nowhere"], "nowhere"),
        (["video.yaml", "run_dir=d", "start_from=tae"], "architecture mismatch"),
    ):
        assert cli.run(train.main, words) == 2, words
        error = capsys.readouterr().err
        assert message in error, error
        assert error.count("\n") == 1


def test_disk_full_while_encoding_is_one_line_and_finished_parts_are_kept(
    chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(chain)
    monkeypatch.setattr(encode_latents, "PART_SIZE", 4)
    add, calls = part_writer.BinaryWriter.add_item, []

    def full(self, index, item):
        calls.append(index)
        if len(calls) == 6:  # in the second part
            raise OSError(errno.ENOSPC, "No space left on device")
        return add(self, index, item)

    words = ["latents.yaml", "run_dir=full"]
    with monkeypatch.context() as m:
        m.setattr(part_writer.BinaryWriter, "add_item", full)
        with pytest.raises(UserError, match="disk full while writing full/train; make room") as error:
            train.main(words)
    assert "\n" not in str(error.value)
    kept = [p.name for p in sorted((chain / "full/train").glob("*/[0-9]*"))]
    assert kept == ["000000"]
    train.main(words)
    assert read_info(chain / "full/train").records == read_info(chain / "latents/train").records
