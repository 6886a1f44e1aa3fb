"""Exported weights: the checkpoint's bit for bit, and a model by themselves wherever a run is named."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from src import export, generate
from src.core import cli, config
from src.core.errors import UserError
from src.experiments import average
from src.export import ExportConfig
from src.parallel import checkpoint_io, safetensors_io
from src.parallel.checkpoint_io import CheckpointError
from src.runs import loading, video
from src.training.callbacks.checkpoint import find
from src.training.init_weights import load_weights
from src.training.trainer import fit
from tests.fixtures.ranks import Ranks
from tests.fixtures.toy_modules import ToyData, train_config, two_processes, video_module
from tests.fixtures.toy_runs import VIDEO
from tests.src.test_reconstruct import save_run


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
    resolved = config.to_yaml(config.load(video.Config, root / "toy.yaml"))
    (root / "video" / "config.yaml").write_text(resolved)
    save_run(root / "tae")
    for name in ("video", "tae"):
        export.export(ExportConfig(run=str(root / name), out=str(root / f"{name}.safetensors")))
    return root


def test_every_tensor_is_the_checkpoints(root: Path) -> None:
    for name in ("video", "tae"):
        checkpoint = find(root / name)
        assert checkpoint_io.is_sharded(checkpoint) == (name == "video")
        wanted = safetensors_io.select(checkpoint_io.read(checkpoint)["state_dict"])
        found = safetensors_io.read(root / f"{name}.safetensors")
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[k], wanted[k]) and found[k].dtype == wanted[k].dtype for k in wanted)
    raw = checkpoint_io.read(find(root / "video"))["state_dict"]
    name = "transformer.patch_in.weight"
    averaged = safetensors_io.read(root / "video.safetensors")[name]
    assert torch.equal(averaged, raw[f"ema.{name}"])
    assert not torch.equal(averaged, raw[name])
    header = safetensors_io.read_header(root / "video.safetensors")
    assert (header.use, header.step, header.source) == ("ema", 2, str(find(root / "video")))


def test_models_are_rebuilt_from_the_files_alone(root: Path, tmp_path: Path) -> None:
    shutil.copy(root / "video.safetensors", tmp_path / "v.safetensors")
    shutil.copy(root / "tae.safetensors", tmp_path / "t.safetensors")
    theirs, settings = loading.load_video(tmp_path / "v.safetensors")
    ours, _ = loading.load_video(root / "video")
    assert settings == loading.run_config(video.Config, root / "video")
    assert theirs.latent_mean_C.tolist() == [1, 2, 3, 4]
    assert theirs.latent_std_C.tolist() == [0.5, 1, 2, 3]
    mine = ours.state_dict()
    assert all(torch.equal(v, mine[k]) for k, v in theirs.state_dict().items())
    (_, a), (_, b) = (loading.load_tae(p) for p in (root / "tae", tmp_path / "t.safetensors"))
    assert a == b  # latents made with one count as made with the other


def test_films_are_the_same(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    words = ["sampler.steps=2", "precision=fp32", "prompt=a star", "out="]
    films = []
    for run, tae_run, out in (("video", "tae", "a"), ("video.safetensors", "tae.safetensors", "b")):
        generate.main([f"run={run}", f"tae={tae_run}", *words[:-1], f"out={out}"])
        films.append((root / out / "videos/0000.mp4").read_bytes())
        assert json.loads((root / out / "manifest.jsonl").read_text())["system"] == "video"
    assert films[0] == films[1]


def test_a_stage_starts_from_a_file_and_averages_take_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    modules = [video_module(train_config(seed=9)) for _ in range(2)]
    for module, source in zip(modules, ("video", "video.safetensors"), strict=True):
        assert load_weights(module, Path(source)).new == []
    states = [module.state_dict() for module in modules]
    assert all(torch.equal(states[0][k], v) for k, v in states[1].items() if not k.startswith("latent"))
    words = ["name=mean", "run_dir=mean", "inputs=[video.safetensors,video]"]
    average.run(config.load(average.Config, None, words))
    name = "transformer.patch_in.weight"
    assert torch.equal(loading.read_weights(Path("mean"))[name], states[0][name])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run=gone"], "gone: no such checkpoint or run directory"),
        (["run=video", "out=x.pt"], "out=x.pt: must end in .safetensors"),
        (["run=video"], "video.safetensors: is there already"),
        (["run=video.safetensors", "out=x.safetensors"], "is exported already"),
        (["run=other", "out=x.safetensors"], "is a run of kind claims; only tae and video runs have weights"),
    ],
)
def test_mistakes_in_exporting(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(root)
    if not Path("other").exists():
        shutil.copytree("tae", "other")
        Path("other/config.yaml").write_text("experiment: claims")
    assert cli.run(export.main, words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_mistakes_in_importing(root: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    video_file = root / "video.safetensors"
    foreign, cut = tmp_path / "f.safetensors", tmp_path / "c.safetensors"
    save_file({"x": torch.zeros(1)}, foreign)
    cut.write_bytes(video_file.read_bytes()[:-100])
    for call, message in (
        (lambda: loading.load_video(foreign), "was not exported here"),
        (lambda: loading.load_video(cut), r"c.safetensors: cannot be read \(\d+ bytes\)"),
        (lambda: loading.load_video(tmp_path / "no.safetensors"), r"no.safetensors: no such file"),
        (lambda: loading.load_tae(video_file), "is a run of kind video, one of kind tae is needed"),
        (lambda: safetensors_io.read(video_file, "raw"), "holds ema weights of .*, raw was asked for"),
    ):
        with pytest.raises((CheckpointError, UserError), match=message) as error:
            call()
        assert "\n" not in str(error.value)


def test_a_video_model_given_away_asks_for_its_autoencoder(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    assert cli.run(generate.main, ["run=video.safetensors", "prompt=a star"]) == 2
    assert "run=video.safetensors: its latents are not here to tell which TAE" in capsys.readouterr().err
