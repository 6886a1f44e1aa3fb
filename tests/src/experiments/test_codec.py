"""The codec by its commands: prepare, train, resume, reconstruct, export; and bad input."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from data import prepare
from data.bounce.music_vocabulary import PARTS
from src import export, reconstruct, train
from src.core.errors import UserError
from src.core.media_io.loudness import integrated_lufs
from src.core.media_io.video_writer import write_video
from src.parallel.checkpoint_io import read_checkpoint
from src.runs.loading import load_codec
from src.streaming.reader import Dataset
from tests.fixtures.ranks import Ranks

ROOT = Path(__file__).resolve().parents[3]
NARROW = ["train.log_every=1", "train.progress=false"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the debug data set, a trained run, and a few files."""
    root = tmp_path_factory.mktemp("codec")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        (root / "configs").symlink_to(ROOT / "configs")
        clips = ["audio.bounce.clips.num_clips=4", "audio.bounce.clips.num_val_clips=2"]
        clips.append("audio.bounce.clips.audio.stems=true")
        prepare.main(["configs/data/audio_debug.yaml", "num_workers=0", *clips])
        train.main(["configs/codec/debug.yaml", *NARROW])
    write_audio(root / "stereo.wav", noise(2, 44_100), 44_100)
    return root


@pytest.fixture(autouse=True)
def in_the_workspace(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)


def noise(channels: int, num_samples: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal((channels, num_samples)).astype(np.float32)


def write_audio(path: Path, samples_CS: np.ndarray, rate: int) -> None:
    soundfile.write(path, samples_CS.T, rate, subtype="FLOAT")


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_scores(folder: Path) -> list[dict[str, str]]:
    with (folder / "scores.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_training_writes_a_checkpoint_with_statistics_of_the_latent(workspace: Path) -> None:
    path = workspace / "runs/codec/debug/checkpoints/step-00000004.ckpt"
    state = torch.load(path, weights_only=True)["state_dict"]
    assert state["latent_mean_C"].shape == state["latent_std_C"].shape == (8,)
    assert float(state["latent_std_C"].min()) > 0
    lines = read_lines(workspace / "runs/codec/debug/metrics.jsonl")
    names = {name for line in lines for name in line}
    assert {"train/mel", "train/features", "train/discriminator", "val/loss", "val/si_sdr"} <= names


def test_a_run_that_is_interrupted_ends_with_the_same_weights(workspace: Path) -> None:
    options = ["run_dir=runs/resumed", "train.checkpoint_every=2", *NARROW]
    train.main(["configs/codec/debug.yaml", *options, "train.max_steps=2"])
    train.main(["configs/codec/debug.yaml", *options])
    found, expected = (
        torch.load(workspace / f"runs/{run}/checkpoints/step-00000004.ckpt", weights_only=True)["state_dict"]
        for run in ("resumed", "codec/debug")
    )
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def train_on_two_ranks(root: str, run_dir: str) -> None:
    two = ["train.parallel.num_devices=2", "train.parallel.accelerator=cpu"]
    settings = [f"dataset={root}/datasets/audio_debug", f"run_dir={run_dir}", *two, *NARROW]
    train.main([f"{root}/configs/codec/debug.yaml", *settings])


def test_two_ranks_train_as_one_process(workspace: Path, ranks: Ranks) -> None:
    """The first steps: logs of an output that is almost silent magnify rounding from then on."""
    run_dir = workspace / "runs/two"
    ranks.run(train_on_two_ranks, str(workspace), str(run_dir))
    found, expected = (
        [line for line in read_lines(each / "metrics.jsonl") if "train/loss" in line]
        for each in (run_dir, workspace / "runs/codec/debug")
    )
    assert len(found) == len(expected) == 4
    terms = ("kl", "generator", "features", "discriminator", "discriminator_grad_norm")
    for step, names in ((0, (*terms, "mel", "loss", "grad_norm")), (1, terms), (2, ("discriminator",))):
        for name in (f"train/{each}" for each in names):
            assert found[step][name] == pytest.approx(expected[step][name], rel=1e-3), (step, name)
    two, one = (
        read_checkpoint(each / "checkpoints/step-00000004.ckpt")["state_dict"]
        for each in (run_dir, workspace / "runs/codec/debug")
    )
    for name in ("latent_mean_C", "latent_std_C"):
        torch.testing.assert_close(two[name], one[name], atol=1e-3, rtol=1e-3)


def test_reconstruction_keeps_length_channels_and_time(workspace: Path) -> None:
    write_audio(workspace / "short.wav", noise(1, 10), 8_000)
    write_audio(workspace / "surround.wav", noise(8, 3_000), 192_000)
    write_audio(workspace / "silent.wav", np.zeros((1, 4_800), np.float32), 48_000)
    files = [f"audio={name}.wav" for name in ("stereo", "short", "surround", "silent")]
    out = workspace / "out"
    reconstruct.main(
        [
            "run=runs/codec/debug",
            *files,
            "data=datasets/audio_debug/val",
            f"out={out}",
            "manifests=true",
            "num_spectrograms=6",
        ]
    )
    scores = {row["audio"]: row for row in read_scores(out)}
    shapes = {"stereo": (48_000, 2), "short": (60, 1), "surround": (750, 8), "silent": (4_800, 1)}
    for name, shape in shapes.items():
        samples, rate = soundfile.read(out / f"{name}.wav", always_2d=True)
        assert (samples.shape, rate) == (shape, 48_000)
        assert int(scores[name]["num_channels"]) == shape[1]
        assert (out / f"{name}-spectrograms.png").stat().st_size > 5_000
    assert scores["silent"]["si_sdr"] == ""
    assert scores["silent"]["lufs_original"] == ""
    original, _ = soundfile.read(out / "originals/stereo.wav", always_2d=True)
    output, _ = soundfile.read(out / "stereo.wav", always_2d=True)
    loudness = integrated_lufs(original.T.astype(np.float32), 48_000)
    assert float(scores["stereo"]["lufs_original"]) == pytest.approx(loudness, abs=0.1)
    x, y = (each - each.mean(0) for each in (output, original))
    scale = (x * y).sum(0) / (y * y).sum(0)
    ratio = (10 * np.log10(((scale * y) ** 2).sum(0) / ((x - scale * y) ** 2).sum(0))).clip(-100, 100)
    assert float(scores["stereo"]["si_sdr"]) == pytest.approx(ratio.mean(), abs=0.01)
    manifest = read_lines(out / "manifest.jsonl")
    assert len(manifest) == 4 + 2
    clips = [entry for entry in manifest if "facts" in entry]
    assert len(clips) == 2
    assert all("impacts" in entry["facts"] for entry in clips)
    stems = {(row["audio"].rsplit("-", 1)[0], row["stem"]) for row in scores.values() if row["stem"]}
    assert stems == {(entry["id"], stem) for entry in clips for stem in PARTS}
    assert not (out / f"{clips[-1]['id']}-impacts-spectrograms.png").exists()  # beyond num_spectrograms
    assert all(
        (out / entry["reference"]).is_file() and (out / entry["audio"]).is_file() for entry in manifest
    )


def test_an_exported_file_replaces_the_run(workspace: Path) -> None:
    export.main(["run=runs/codec/debug", "out=codec.safetensors", "dtype=bf16"])
    codec, key = load_codec(workspace / "codec.safetensors")
    assert key == load_codec(workspace / "runs/codec/debug")[1]
    assert codec.config.latent_channels == 8
    reconstruct.main(["run=codec.safetensors", "audio=stereo.wav", "out=from_export"])
    assert float(read_scores(workspace / "from_export")[0]["mel"]) > 0


@pytest.mark.parametrize(
    ("name", "samples_CS", "message"),
    [
        ("nan", np.full((1, 100), np.nan, np.float32), "samples are not finite"),
        ("empty", np.zeros((1, 0), np.float32), "no audio"),
        ("nine", np.zeros((9, 100), np.float32), "too many channels"),
    ],
)
def test_audio_that_cannot_be_used_is_named_in_one_line(
    workspace: Path, name: str, samples_CS: np.ndarray, message: str
) -> None:
    write_audio(workspace / f"{name}.wav", samples_CS, 48_000)
    with pytest.raises(UserError, match=message) as error:
        reconstruct.main(["run=runs/codec/debug", f"audio={name}.wav", f"out=bad_{name}"])
    assert f"{name}.wav" in str(error.value)
    assert "\n" not in str(error.value)
    assert not (workspace / f"bad_{name}" / f"{name}.wav").exists()


def test_a_video_without_audio_and_other_mistakes(workspace: Path) -> None:
    write_video(workspace / "mute.mp4", np.zeros((4, 32, 32, 3), np.uint8), 8)
    (workspace / "text.wav").write_text("no audio at all")
    for argv, message in (
        (["audio=mute.mp4"], "no audio"),
        (["audio=text.wav"], r"audio=text\.wav"),
        (["audio=gone.wav"], r"gone\.wav"),
        (["video=mute.mp4"], "is an audio codec"),
        ([], "no audio: give audio=FILE"),
    ):
        with pytest.raises(UserError, match=message):
            reconstruct.main(["run=runs/codec/debug", *argv])


def test_a_codec_of_another_rate_or_of_stereo_is_refused_before_training(workspace: Path) -> None:
    for change, message in (
        ("model.sample_rate=44100", "is at 48000 Hz, the codec at model.sample_rate=44100"),
        ("model.num_channels=2", "has 1 channels, the codec model.num_channels=2"),
        ("data.streams.audio.lengths=[1000]", "must be multiples of the codec's hop of 1920 samples"),
    ):
        with pytest.raises(UserError, match=message):
            train.main(["configs/codec/debug.yaml", "run_dir=runs/refused", change])
    assert not (workspace / "runs/refused").exists()


def test_files_become_clips_and_what_cannot_is_listed(workspace: Path) -> None:
    folder = workspace / "files"
    folder.mkdir()
    write_audio(folder / "mono.wav", noise(1, 20_000), 8_000)  # 2.5 s
    write_audio(folder / "wide.wav", noise(6, 96_000), 96_000)
    write_audio(folder / "silence.wav", np.zeros((1, 48_000), np.float32), 48_000)
    write_audio(folder / "nan.wav", np.full((1, 48_000), np.nan, np.float32), 48_000)
    write_audio(folder / "short.wav", noise(1, 100), 48_000)
    write_audio(folder / "loud.wav", 20 * noise(1, 48_000), 48_000)
    (folder / "notes.txt").write_text("no audio")
    prepare.main(
        ["out=datasets/files", "source=audio", "audio.folder=files", "audio.seconds=1.0", "num_workers=0"]
    )
    dataset = Dataset(workspace / "datasets/files/train")
    ids = sorted(dataset.readers["48000x1x1"][i].id for i in range(len(dataset)))
    assert ids == ["loud.wav#0", "mono.wav#0", "mono.wav#1", "wide.wav#0"]
    loud = next(r for i in range(4) if (r := dataset.readers["48000x1x1"][i]).id == "loud.wav#0")
    assert loud.source["audio_levels"]["clipped_fraction"] > 0.02
    assert int(loud.audio_CS.max()) == 32767
    rejected = read_lines(workspace / "datasets/files/train/rejected.jsonl")
    reasons = {row["source"]: row["reason"] for row in rejected}
    assert reasons == {
        "mono.wav#2": "rest at the end",
        "silence.wav#0": "silence",
        "nan.wav": "damaged",
        "short.wav#0": "too short",
        "notes.txt": "unknown type",
    }
    with pytest.raises(UserError, match="not one of 7 inputs was usable"):
        prepare.main(
            ["out=datasets/long", "source=audio", "audio.folder=files", "audio.seconds=9.0", "num_workers=0"]
        )


def test_a_mono_file_is_rejected_by_a_stereo_codec(workspace: Path) -> None:
    folder = workspace / "pair"
    folder.mkdir()
    write_audio(folder / "mono.wav", noise(1, 48_000), 48_000)
    write_audio(folder / "both.wav", noise(2, 48_000), 48_000)
    options = ["source=audio", "audio.folder=pair", "audio.seconds=1.0", "audio.num_channels=2"]
    prepare.main(["out=datasets/pair", *options, "num_workers=0"])
    dataset = Dataset(workspace / "datasets/pair/train")
    assert [dataset.readers["48000x2x1"][i].id for i in range(len(dataset))] == ["both.wav#0"]
    row = json.loads((workspace / "datasets/pair/train/rejected.jsonl").read_text())
    assert (row["source"], row["reason"]) == ("mono.wav", "fewer channels")
