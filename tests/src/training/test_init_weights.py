"""Weights handed from one stage to the next."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from src.parallel import checkpoint_io
from src.parallel.checkpoint_io import CheckpointError
from src.parallel.safetensors_io import read_weights
from src.training.init_weights import average_weights, load_weights
from src.training.trainer import InitFrom, fit
from tests.fixtures.ranks import Ranks
from tests.fixtures.toy_modules import ToyData, train_config, two_processes, video_module


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run")
    config = train_config(max_steps=4, val_every=0)
    fit(video_module(config), ToyData(4), config, path)
    return path


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint_io.read_checkpoint(run / "checkpoints/last.ckpt")["state_dict"]


def test_starts_from_ema_or_raw_weights(run: Path) -> None:
    saved = weights_of(run)
    for use, prefix in (("ema", "ema."), ("raw", "")):
        module = video_module(train_config(seed=9))
        report = load_weights(module, run, use)  # type: ignore[arg-type]
        name = "transformer.blocks.0.ffn.gate_up.linear.weight"
        assert torch.equal(module.state_dict()[name], saved[prefix + name])
        assert torch.equal(module.state_dict()["ema." + name], saved[prefix + name])
        assert module.step == 0
        assert name in report.loaded
        assert report.resized == report.new == report.dropped == []
        assert f"({use}): " in str(report)


def test_position_tables_grow(run: Path) -> None:
    module = video_module(train_config(), max_positions=(6, 8, 8))
    report = load_weights(module, run)
    assert "transformer.pos_embed.time [4, 32] -> [6, 32]" in report.resized
    assert len(report.resized) == 3
    old, new = weights_of(run)["ema.transformer.pos_embed.time"], module.transformer.pos_embed.time
    assert torch.equal(new[:4], old)
    assert "resized: transformer.pos_embed" in str(report)


def test_architecture_mismatch(run: Path) -> None:
    for changes, words in (
        ({"max_positions": (2, 4, 4)}, r"pos_embed.time has shape \[4, 32\], the model\'s is \[2, 32\]"),
        ({"ffn_dim": 64}, r"gate_up.linear.weight has shape \[64, 32\], the model\'s is \[128, 32\]"),
        ({"depth": 3}, r"missing key transformer.blocks.2"),
    ):
        with pytest.raises(CheckpointError, match=words):
            load_weights(video_module(train_config(), **changes), run)


def test_new_and_dropped_tensors_are_reported(run: Path) -> None:
    module = video_module(train_config(), depth=3)
    report = load_weights(module, run, allow_new=("transformer.blocks.2.",))
    assert all(name.startswith("transformer.blocks.2.") for name in report.new)
    assert report.new
    report = load_weights(video_module(train_config(), depth=1), run)
    assert any(name.startswith("transformer.blocks.1.") for name in report.dropped)


def test_safetensors(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(read_weights(run / "checkpoints/last.ckpt"), path)
    module = video_module(train_config(seed=9))
    load_weights(module, tmp_path / "weights.safetensors")
    name = "transformer.patch_embed.weight"
    assert torch.equal(module.state_dict()[name], weights_of(run)["ema." + name])
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "weights.safetensors").read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"cut\.safetensors: cannot be read"):
        load_weights(module, tmp_path / "cut.safetensors")


def start_two(source: Path, run_dir: Path) -> None:
    config = train_config(max_steps=2, val_every=0, parallel=two_processes())
    fit(video_module(config), ToyData(2), config, run_dir, init_from=InitFrom(source))


def test_a_stage_starts_from_another_on_one_process_and_on_two(
    run: Path, tmp_path: Path, ranks: Ranks, capsys: pytest.CaptureFixture[str]
) -> None:
    config = train_config(max_steps=2, val_every=0)
    fit(video_module(config), ToyData(2), config, tmp_path / "one", init_from=InitFrom(run))
    assert "tensors loaded" in capsys.readouterr().out
    ranks.run(start_two, run, tmp_path / "two")
    ours, theirs = (weights_of(tmp_path / n) for n in ("one", "two"))
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-4)


def test_average_is_the_uniform_mean(run: Path, tmp_path: Path) -> None:
    config = train_config(max_steps=3, val_every=0, seed=4)
    fit(video_module(config), ToyData(3), config, tmp_path)
    mean = average_weights([run, tmp_path])
    name = "transformer.patch_embed.weight"
    a, b = weights_of(run)["ema." + name], weights_of(tmp_path)["ema." + name]
    torch.testing.assert_close(mean[name], (a + b) / 2)
    other = tmp_path / "other"
    fit(video_module(config, ffn_dim=64), ToyData(3), config, other)
    with pytest.raises(CheckpointError, match="architecture mismatch"):
        average_weights([run, other])
