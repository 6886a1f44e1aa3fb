"""Exported weights: equal to the checkpoint's bit for bit, and usable wherever a run is."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from src import export, generate
from src.core import cli, config
from src.core.errors import UserError
from src.experiments import average
from src.experiments.config import AverageConfig
from src.inference import run_defaults
from src.inference.config import ExportConfig, GenerateConfig
from src.inference.export_weights import export as export_weights
from src.parallel import checkpoint_io, safetensors_io
from src.parallel.checkpoint_io import CheckpointError
from src.parallel.weight_source import read_weights
from src.runs import loading
from src.runs.config import VideoRunConfig
from src.training.checkpoint_paths import find_checkpoint
from src.training.init_weights import InitFrom, load_weights
from src.training.trainer import fit
from tests.fixtures.ranks import Ranks
from tests.fixtures.toy_modules import ToyData, train_config, two_processes, video_module
from tests.fixtures.toy_runs import VIDEO, write_toy_tae


def train_sharded(run_dir: Path) -> None:
    settings = train_config(max_steps=2, val_every=0, parallel=two_processes(sharded_checkpoint=True))
    module = video_module(settings)
    module.set_latent_statistics(torch.tensor([1.0, 2, 3, 4]), torch.tensor([0.5, 1, 2, 3]))
    fit(module, ToyData(2), settings, run_dir)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, ranks: Ranks) -> Path:
    """A video run with a sharded checkpoint, a TAE run, and both exported."""
    root = tmp_path_factory.mktemp("export")
    ranks.run(train_sharded, root / "video")
    (root / "toy.yaml").write_text(VIDEO)
    resolved = config.to_yaml(config.load(VideoRunConfig, root / "toy.yaml"))
    (root / "video" / "config.yaml").write_text(resolved)
    write_toy_tae(root / "tae")
    for name in ("video", "tae"):
        export_weights(ExportConfig(run=str(root / name), out=str(root / f"{name}.safetensors")))
    return root


def test_every_tensor_equals_the_checkpoints(root: Path) -> None:
    for name in ("video", "tae"):
        checkpoint = find_checkpoint(root / name)
        assert checkpoint_io.is_sharded(checkpoint) == (name == "video")
        state = checkpoint_io.read_checkpoint(checkpoint)["state_dict"]
        expected = {name: state[key] for name, key in safetensors_io.select_names(state).items()}
        found = read_weights(root / f"{name}.safetensors")
        assert found.keys() == expected.keys()
        assert all(
            torch.equal(found[k], expected[k]) and found[k].dtype == expected[k].dtype for k in expected
        )
    raw = checkpoint_io.read_checkpoint(find_checkpoint(root / "video"))["state_dict"]
    name = "transformer.patch_embed.weight"
    exported = read_weights(root / "video.safetensors")[name]
    assert torch.equal(exported, raw[f"ema.{name}"])
    assert not torch.equal(exported, raw[name])
    header = safetensors_io.read_header(root / "video.safetensors")
    assert (header.use, header.step, header.source) == ("ema", 2, str(find_checkpoint(root / "video")))


def test_models_are_rebuilt_from_the_files_alone(root: Path, tmp_path: Path) -> None:
    shutil.copy(root / "video.safetensors", tmp_path / "v.safetensors")
    shutil.copy(root / "tae.safetensors", tmp_path / "t.safetensors")
    theirs, settings = loading.load_video(tmp_path / "v.safetensors")
    ours, _ = loading.load_video(root / "video")
    assert settings == loading.load_run_config(VideoRunConfig, root / "video")
    assert theirs.latent_mean_C.tolist() == [1, 2, 3, 4]
    assert theirs.latent_std_C.tolist() == [0.5, 1, 2, 3]
    state = ours.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in theirs.state_dict().items())
    (_, a), (_, b) = (loading.load_tae(p) for p in (root / "tae", tmp_path / "t.safetensors"))
    assert a == b  # latents encoded by one are valid for the other


def test_videos_are_the_same(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    args = ["sampler.num_steps=2", "precision=fp32", "prompt=a star", "out="]
    videos = []
    for run, tae_run, out in (("video", "tae", "a"), ("video.safetensors", "tae.safetensors", "b")):
        generate.main([f"run={run}", f"tae={tae_run}", *args[:-1], f"out={out}"])
        videos.append((root / out / "videos/0000_seed0.mp4").read_bytes())
        assert json.loads((root / out / "manifest.jsonl").read_text())["system"] == "video"
    assert videos[0] == videos[1]


def test_a_stage_starts_from_a_file_and_averages_take_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    modules = [video_module(train_config(seed=9)) for _ in range(2)]
    for module, source in zip(modules, ("video", "video.safetensors"), strict=True):
        assert load_weights(module, InitFrom(Path(source))).new == []
    states = [module.state_dict() for module in modules]
    assert all(torch.equal(states[0][k], v) for k, v in states[1].items() if not k.startswith("latent"))
    args = ["name=mean", "run_dir=mean", "inputs=[video.safetensors,video]"]
    average.run(config.load(AverageConfig, None, args))
    name = "transformer.patch_embed.weight"
    assert torch.equal(loading.read_weights(Path("mean"))[name], states[0][name])


def test_files_are_those_of_safetensors_byte_for_byte(root: Path, tmp_path: Path) -> None:
    path = root / "video.safetensors"
    tensors, header = read_weights(path), safetensors_io.read_header(path)
    tensors["half"], tensors["whole"] = torch.ones(3, 2).bfloat16(), torch.zeros((), dtype=torch.int64)
    types = {name: (value.shape, value.dtype) for name, value in tensors.items()}
    entry = safetensors_io.header_entry(header)
    safetensors_io.write_tensors(tmp_path / "ours.safetensors", types, tensors.__getitem__, entry)
    save_file(tensors, tmp_path / "theirs.safetensors", entry)
    assert (tmp_path / "ours.safetensors").read_bytes() == (tmp_path / "theirs.safetensors").read_bytes()


def test_permissions_follow_the_umask(root: Path) -> None:
    mask = os.umask(0o022)
    os.umask(mask)
    assert (root / "tae.safetensors").stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["run=gone"], "gone: no such checkpoint or run directory"),
        (["run=video", "out=x.pt"], "out=x.pt: must end in .safetensors"),
        (["run=video"], "video.safetensors: already exists"),
        (["run=video.safetensors", "out=x.safetensors"], "is exported already"),
        (
            ["run=other", "out=x.safetensors"],
            "run=other: expected a tae, codec, video or audio run, got ablation",
        ),
    ],
)
def test_mistakes_in_exporting(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    args: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(root)
    if not Path("other").exists():
        shutil.copytree("tae", "other")
        Path("other/config.yaml").write_text("experiment: ablation")
    assert cli.run(export.main, args) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_mistakes_in_importing(root: Path, tmp_path: Path) -> None:
    video_file = root / "video.safetensors"
    foreign, cut = tmp_path / "f.safetensors", tmp_path / "c.safetensors"
    save_file({"x": torch.zeros(1)}, foreign)
    cut.write_bytes(video_file.read_bytes()[:-100])
    for call, message in (
        (lambda: loading.load_video(foreign), "not exported by this project"),
        (lambda: loading.load_video(cut), r"c.safetensors: cannot be read \(\d+ bytes\)"),
        (lambda: loading.load_video(tmp_path / "no.safetensors"), r"no.safetensors: no such file"),
        (lambda: loading.load_tae(video_file), "expected a tae run, got video"),
        (lambda: read_weights(video_file, "raw"), "contains the ema weights of .*, not raw"),
    ):
        with pytest.raises((CheckpointError, UserError), match=message) as error:
            call()
        assert "\n" not in str(error.value)


def test_exported_video_model_takes_the_tae_in_its_folder(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    args = ["run=video.safetensors", "prompt=a star", "sampler.num_steps=2", "num_frames=1", "out=beside"]
    shutil.copy(root / "video.safetensors", tmp_path)
    assert cli.run(generate.main, args) == 2
    assert (
        "run=video.safetensors: its latents are not on this machine, so its TAE is unknown"
        in capsys.readouterr().err
    )
    shutil.copy(root / "tae.safetensors", tmp_path)
    assert cli.run(generate.main, args) == 0
    assert len(list(Path("beside/images").iterdir())) == 1


def test_bf16_rounds_matrices_alone_and_keeps_the_key_of_the_tae(root: Path, tmp_path: Path) -> None:
    for name in ("video", "tae"):
        run = str(root / name)
        path = export_weights(ExportConfig(run=run, out=str(tmp_path / f"{name}.safetensors"), dtype="bf16"))
        full = read_weights(root / f"{name}.safetensors")
        for key, tensor in read_weights(path).items():
            expected = full[key].bfloat16() if full[key].ndim > 1 else full[key]
            assert tensor.dtype == expected.dtype
            assert torch.equal(tensor, expected)
        assert path.stat().st_size < 0.75 * (root / f"{name}.safetensors").stat().st_size
    rounded, key = loading.load_tae(tmp_path / "tae.safetensors")
    exact, exact_key = loading.load_tae(root / "tae")
    assert key == exact_key  # a video model of the exact TAE's latents accepts the rounded one
    assert any(not torch.equal(v, exact.state_dict()[k]) for k, v in rounded.state_dict().items())
    model, _ = loading.load_video(tmp_path / "video.safetensors")
    assert model.latent_std_C.tolist() == [0.5, 1, 2, 3]


def test_an_export_names_the_format_of_training(root: Path, tmp_path: Path) -> None:
    header = safetensors_io.read_header(root / "video.safetensors")
    assert header.buckets == ("1x32x32", "16x32x32")
    moved = tmp_path / "moved.safetensors"
    tensors = read_weights(root / "video.safetensors")
    changed = replace(header, buckets=("8x16x32",), fps=12.0)
    save_file(tensors, moved, safetensors_io.header_entry(changed))
    stage = loading.load_run_config(VideoRunConfig, moved)
    tae, _ = loading.load_tae(root / "tae")
    found = run_defaults.video_format(GenerateConfig(run=str(moved)), stage, tae.config)
    assert found == run_defaults.VideoFormat(8, 16, 32, 12.0)
