"""The audio model by its commands: encode, train, resume, generate; and bad input."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from data import prepare
from src import export, generate, train
from src.core import config
from src.core.audio_caption import AudioCaption
from src.core.errors import UserError
from src.core.media_io.probe import probe
from src.models.codec.model import Codec
from src.runs.config import CodecRunConfig
from src.runs.loading import load_audio
from src.streaming.reader import Dataset
from src.streaming.schema.dataset_index import read_info

ROOT = Path(__file__).resolve().parents[3]
CODEC = ["model.kind=spectral", "model.latent_channels=8", "model.spectral.frame_channels=8",
         "model.spectral.hidden_channels=8", "losses.gan_weight=0"]  # fmt: skip
QUICK = ["train.progress=false", "train.log_every=1"]


def write_codec(folder: Path, *overrides: str, seed: int = 0) -> None:
    """Write a codec run with random weights as training would leave it."""
    settings = config.load(CodecRunConfig, None, ["name=codec", *CODEC, *overrides])
    torch.manual_seed(seed)
    state = {f"codec.{name}": value for name, value in Codec(settings.model).state_dict().items()}
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(config.to_yaml(settings))
    torch.save({"state_dict": state}, folder / "checkpoints" / "step-00000001.ckpt")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a few videos with audio, their latents, and a trained run."""
    root = tmp_path_factory.mktemp("audio")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        (root / "configs").symlink_to(ROOT / "configs")
        few = ["world.videos.num_videos=8", "world.videos.num_val_videos=4", "num_workers=0"]
        prepare.main(["configs/debug/audio_data.yaml", *few])
        write_codec(root / "runs/codec/debug")
        train.main(["configs/debug/audio_latents.yaml"])
        train.main(["configs/debug/audio.yaml", *QUICK])
    return root


@pytest.fixture(autouse=True)
def _inside(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def state_of(run: str) -> dict[str, torch.Tensor]:
    path = Path(f"runs/{run}/checkpoints/step-00000010.ckpt")
    return torch.load(path, weights_only=True)["state_dict"]


def test_latents_keep_frames_captions_and_statistics() -> None:
    assert read_info("runs/debug/audio_latents/train").kind == "audio_latents"
    dataset, pixels = Dataset("runs/debug/audio_latents/val"), Dataset("datasets/debug_audio/val")
    record, clip = dataset.latents("16x32x32", 1), pixels.pixels("16x32x32", 1)
    assert record.moments_2CTHW.shape == (16, 25, 1, 1)
    assert record.frames_TCHW is not None
    assert torch.equal(record.frames_TCHW, clip.video_TCHW)
    assert (record.id, record.facts, record.latent_rate) == (clip.id, clip.facts, 25.0)
    assert record.captions[:-1] == clip.audio_captions
    flags = AudioCaption.parse(record.captions[-1])
    assert flags is not None
    assert (flags.description, flags.quality) == ("", 8.0)


def test_every_mode_and_band_of_times_is_validated() -> None:
    found = read_lines(Path("runs/debug/audio/metrics.jsonl"))[-1]
    names = ("v2a", "t2a", "tv2a", "infilling", "forward", "backward", "cut", "regenerate", "v2a_shuffled")
    assert {f"val/loss_{name}" for name in names} <= found.keys()
    assert sum(name.startswith("val/loss_t0.") for name in found) == 2


def test_a_run_that_is_interrupted_ends_with_the_same_weights() -> None:
    options = ["configs/debug/audio.yaml", "run_dir=runs/resumed", *QUICK]
    train.main([*options, "train.max_steps=5"])
    train.main([*options, "train.max_steps=10"])
    found, expected = state_of("resumed"), state_of("debug/audio")
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    video = [name for name in expected if name.startswith("video.")]
    assert any(
        not torch.equal(expected[n], expected[f"ema.{n}"]) for n in video
    )  # the video network trains, and has an EMA


def test_videos_of_a_folder_get_audio_of_their_length_and_the_same_bytes_again() -> None:
    model = ["run=runs/debug/audio", "batch_size=2"]
    generate.main([*model, "data=datasets/debug_audio/val", "num_videos=3", "out=first"])
    generate.main([*model, "videos=first/videos", "out=second", "num_candidates=2"])
    generate.main([*model, "videos=first/videos", "out=again", "num_candidates=2"])
    entries = read_lines(Path("first/manifest.jsonl"))
    assert len(entries) == 3
    assert entries[0]["facts"]["impacts"] is not None
    for entry in entries:
        info = soundfile.info(str(Path("first", entry["audio"])))
        assert (info.samplerate, info.channels, info.frames) == (48_000, 1, 48_000)
        assert probe(Path("first", entry["video"])).has_audio
    second = read_lines(Path("second/manifest.jsonl"))
    assert len(second) == 6
    assert len({entry["seed"] for entry in second}) == 6
    for entry in second:
        assert Path("second", entry["audio"]).read_bytes() == Path("again", entry["audio"]).read_bytes()
    one, other = (soundfile.read(Path("second", entry["audio"]))[0] for entry in second[:2])
    assert not np.array_equal(one, other)


def test_text_alone_gives_audio_and_guidance_apart_differs() -> None:
    model = ["run=runs/debug/audio", "prompt=a wooden ball hits the floor", "seconds=0.5"]
    generate.main([*model, "out=text"])
    (entry,) = read_lines(Path("text/manifest.jsonl"))
    assert soundfile.info(str(Path("text", entry["audio"]))).frames == 24_000
    assert entry["prompt"].startswith("This audio has quality: 8.0.")
    assert "video" not in entry
    with pytest.raises(UserError, match=r"text/manifest.jsonl exists; give another out"):
        generate.main([*model, "out=text"])


def test_bad_input_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=r"videos=nowhere: no such file or folder"):
        generate.main(["run=runs/debug/audio", "videos=nowhere"])
    with pytest.raises(UserError, match=r"latents=runs/debug/nothing|no data set here"):
        train.main(["configs/debug/audio.yaml", "run_dir=runs/a", "latents=runs/debug/nothing"])
    with pytest.raises(UserError, match=r"25 latent frames per second, the model latent_rate=50; encode"):
        train.main(["configs/debug/audio.yaml", "run_dir=runs/b", "latent_rate=50"])
    with pytest.raises(UserError, match=r"frames of 32x32, the model video.height=64 video.width=64"):
        train.main(["configs/debug/audio.yaml", "run_dir=runs/c", "video.height=64", "video.width=64"])
    with pytest.raises(UserError, match=r"give either tae=RUN .* or codec=RUN"):
        train.main(["configs/debug/audio_latents.yaml", "run_dir=runs/d", "tae=x"])
    write_codec(Path("runs/stereo"), "model.num_channels=2")
    with pytest.raises(UserError, match=r"audio with 1 channels, the codec has 2"):
        train.main(["configs/debug/audio_latents.yaml", "run_dir=runs/e", "codec=runs/stereo"])


def test_a_model_of_text_alone_refuses_videos_and_learns_to_see_them_later() -> None:
    short = ["train.max_steps=1", "train.val_every=0", *QUICK]
    alone = ["video.source=none", "modes=null", "modes.t2a={video: none}", *short]
    train.main(["configs/debug/audio.yaml", "run_dir=runs/text_only", *alone])
    model, _ = load_audio(Path("runs/text_only"))
    assert model.video is None
    with pytest.raises(UserError, match=r"a model of text alone .* cannot follow videos"):
        generate.main(["run=runs/text_only", "data=datasets/debug_audio/val", "out=refused"])
    start = ["configs/debug/audio.yaml", "start_from=runs/text_only"]
    train.main([*start, "run_dir=runs/sees", *short])


def test_another_codec_is_refused() -> None:
    write_codec(Path("runs/other"), seed=1)
    words = r"codec=runs/other: key \w{12}, but the run's latents were encoded by a codec"
    with pytest.raises(UserError, match=words):
        generate.main(["run=runs/debug/audio", "codec=runs/other", "prompt=rain", "out=other"])
    train.main(["configs/debug/audio_latents.yaml", "run_dir=runs/other_latents", "codec=runs/other"])
    start = ["start_from=runs/debug/audio", "latents=runs/other_latents", "run_dir=runs/f"]
    words = r"was trained on latents of a codec with key .* or allow_other_codec=true"
    with pytest.raises(UserError, match=words):
        train.main(["configs/debug/audio.yaml", *start])


def test_an_exported_model_generates_the_same() -> None:
    export.main(["run=runs/debug/audio", "out=exported/audio.safetensors"])
    export.main(["run=runs/codec/debug", "out=exported/codec.safetensors"])
    for run, out in (("runs/debug/audio", "from_run"), ("exported/audio.safetensors", "from_file")):
        generate.main([f"run={run}", "prompt=rain", f"out={out}", "seconds=0.4"])
    one, other = (next(Path(out, "audio").iterdir()).read_bytes() for out in ("from_run", "from_file"))
    assert one == other


def test_the_contrastive_model_trains_on_the_same_latents() -> None:
    sizes = ["model.latent_channels=8", "train.max_steps=2", "train.val_every=2", "train.checkpoint_every=2"]
    streams = ["data.streams.videos.batch_size=4", "data.val.videos.batch_size=4", "train.precision=fp32"]
    command = ["configs/contrastive/tiny.yaml", "latents=runs/debug/audio_latents", *sizes, *streams, *QUICK]
    train.main([*command, "run_dir=runs/contrastive"])
    (row,) = [each for each in read_lines(Path("runs/contrastive/metrics.jsonl")) if "val/loss" in each]
    assert row["val/recall_chance"] == 0.25
    assert {"val/recall_audio_to_video", "val/recall_video_to_audio", "val/recall_text_to_audio"} < row.keys()
    other = ["model.video.height=16", "model.video.width=16", "run_dir=runs/contrastive_other"]
    with pytest.raises(UserError, match=r"frames of \(32, 32\), the model model.video.height=16"):
        train.main([*command, *other])
