"""Weights handed from one stage to the next."""

from pathlib import Path

import lightning as L
import pytest
import torch
from safetensors.torch import save_file

from src.parallel import checkpoint_io
from src.parallel.checkpoint_io import CheckpointError
from src.parallel.weight_source import read_weights
from src.training.config import PositionGrowth
from src.training.init_weights import InitFrom, load_weights
from src.training.modules.base import TrainingModule
from src.training.trainer import fit
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
        report = load_weights(module, InitFrom(run, use))  # type: ignore[arg-type]
        name = "transformer.blocks.0.ffn.gate_up.linear.weight"
        assert torch.equal(module.state_dict()[name], saved[prefix + name])
        assert torch.equal(module.state_dict()["ema." + name], saved[prefix + name])
        assert module.step == 0
        assert name in report.loaded
        assert report.resized == report.new == report.dropped == []
        counts = f"({use}): {len(report.loaded)} tensors loaded, 0 resized, 0 new, 0 dropped"
        assert str(report).endswith(counts)


@pytest.mark.parametrize("growth", ["pad", "interpolate"])
def test_position_tables_grow(run: Path, growth: PositionGrowth) -> None:
    module = video_module(train_config(), max_positions=(6, 7, 8))
    report = load_weights(module, InitFrom(run, position_growth=growth))
    assert "transformer.pos_embed.time [4, 32] -> [6, 32]" in report.resized
    assert len(report.resized) == 3
    assert f"{len(report.loaded)} tensors loaded, 3 resized, 0 new, 0 dropped" in str(report)
    assert "resized: transformer.pos_embed" in str(report)
    old, tables = weights_of(run), module.transformer.pos_embed
    time, height, width = (old[f"ema.transformer.pos_embed.{axis}"] for axis in ("time", "height", "width"))
    assert torch.equal(tables.time, torch.cat([time, time[-1:], time[-1:]]))  # padded in any case
    if growth == "pad":
        assert torch.equal(tables.height, torch.cat([height, *[height[-1:]] * 3]))
        assert torch.equal(tables.width, torch.cat([width, *[width[-1:]] * 4]))
    else:  # from 4 to 7 rows: old ones at even positions, means of two between them
        torch.testing.assert_close(tables.height[::2], height)
        torch.testing.assert_close(tables.height[1::2], (height[1:] + height[:-1]) / 2)
        torch.testing.assert_close(tables.width[[0, 7]], width[[0, 3]])


def test_spatial_tables_need_a_way_to_grow(run: Path) -> None:
    load_weights(video_module(train_config(), max_positions=(6, 4, 4)), InitFrom(run))
    with pytest.raises(CheckpointError, match=r"pos_embed.height has 4 positions, the model's 8; give posi"):
        load_weights(video_module(train_config(), max_positions=(4, 8, 4)), InitFrom(run))


def test_no_matching_tensor_is_an_error(run: Path, tmp_path: Path) -> None:
    save_file({"net.weight": torch.zeros(3), "net.bias": torch.zeros(3)}, tmp_path / "foreign.safetensors")
    init = InitFrom(tmp_path / "foreign.safetensors", allow_new=("",))
    with pytest.raises(CheckpointError) as error:
        load_weights(video_module(train_config()), init, Path("runs/new"))
    words = f"{tmp_path}/foreign.safetensors: none of its 2 tensors, such as net."
    assert str(error.value).startswith(words)
    assert "tensors of runs/new/config.yaml, such as latent_mean_C [4]" in str(error.value)


class ValidateFirst(L.Callback):
    """Validates before the first step."""

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, TrainingModule)
        with torch.no_grad():
            module.on_validation_epoch_start()
            for number, batch in enumerate(trainer.datamodule.val_dataloader()):  # type: ignore[attr-defined]
                module.validation_step(batch, number)
            module.on_validation_epoch_end()
        self.metrics = dict(module.val_metrics)


def test_step_0_has_the_validation_loss_of_the_source(tmp_path: Path) -> None:
    config, before, after = train_config(max_steps=4, val_every=4), ValidateFirst(), ValidateFirst()
    source = video_module(config)
    source.set_latent_statistics(torch.tensor([0.0, 1, 2, 3]), torch.tensor([0.5, 1, 2, 3]))
    last = fit(source, ToyData(4), config, tmp_path / "a", callbacks=[before]).metrics
    init = InitFrom(tmp_path / "a")
    config = train_config(max_steps=1, val_every=0, seed=5)
    fit(video_module(config), ToyData(1), config, tmp_path / "b", init_from=init, callbacks=[after])
    assert after.metrics == pytest.approx(last, abs=1e-6)
    assert abs(before.metrics["val/loss"] - last["val/loss"]) > 1e-3


def optimizer_of(run: Path) -> dict[int, dict[str, torch.Tensor]]:
    """Return the state of each parameter at a run's end."""
    state: dict = checkpoint_io.read_checkpoint(run / "checkpoints/last.ckpt")["optimizer_states"][0]["state"]
    return state


def still(run_dir: Path, init: InitFrom, **parallel: object) -> None:
    """Train a step in which the learning rate and the decay of the moments leave everything as it is."""
    config = train_config(max_steps=1, val_every=0, lr=0.0, beta1=0.99999999, beta2=0.99999999, **parallel)
    fit(video_module(config), ToyData(1), config, run_dir, init_from=init)


def still_on_two(run_dir: Path, init: InitFrom) -> None:
    still(run_dir, init, parallel=two_processes())


def test_the_optimizer_is_handed_over(run: Path, tmp_path: Path, ranks: Ranks) -> None:
    still(tmp_path / "with", InitFrom(run, "raw", with_optimizer=True))
    ranks.run(still_on_two, tmp_path / "two", InitFrom(run, "raw", with_optimizer=True))
    still(tmp_path / "without", InitFrom(run, "raw"))
    source = optimizer_of(run)
    for name in ("with", "two"):
        found = optimizer_of(tmp_path / name)
        assert found.keys() == source.keys()
        for index, state in source.items():
            assert int(found[index]["step"]) == int(state["step"]) + 1 == 5
            for moment in ("exp_avg", "exp_avg_sq"):
                torch.testing.assert_close(found[index][moment], state[moment], rtol=1e-4, atol=1e-7)
    fresh = optimizer_of(tmp_path / "without")
    assert max(float(state["exp_avg"].abs().max()) for state in fresh.values()) < 1e-6


def test_an_optimizer_of_other_parameters_is_refused(run: Path, tmp_path: Path) -> None:
    save_file(read_weights(run / "checkpoints/last.ckpt", "raw"), tmp_path / "weights.safetensors")
    for source, changes in ((run, {"optimizer": "muon"}), (tmp_path / "weights.safetensors", {})):
        config = train_config(max_steps=1, val_every=0, **changes)
        init = InitFrom(source, "raw", with_optimizer=True)
        with pytest.raises(CheckpointError, match="has no state of this run's optimizer"):
            fit(video_module(config), ToyData(1), config, tmp_path / "new", init_from=init)


def test_architecture_mismatch(run: Path) -> None:
    for changes, words in (
        ({"max_positions": (2, 4, 4)}, r"pos_embed.time has shape \[4, 32\], the model\'s is \[2, 32\]"),
        ({"ffn_dim": 64}, r"gate_up.linear.weight has shape \[64, 32\], the model\'s is \[128, 32\]"),
        ({"depth": 3}, r"missing key transformer.blocks.2"),
    ):
        with pytest.raises(CheckpointError, match=words):
            load_weights(video_module(train_config(), **changes), InitFrom(run))


def test_new_and_dropped_tensors_are_reported(run: Path) -> None:
    module = video_module(train_config(), depth=3)
    report = load_weights(module, InitFrom(run, allow_new=("transformer.blocks.2.",)))
    assert all(name.startswith("transformer.blocks.2.") for name in report.new)
    assert report.new
    report = load_weights(video_module(train_config(), depth=1), InitFrom(run))
    assert any(name.startswith("transformer.blocks.1.") for name in report.dropped)


def test_safetensors(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(read_weights(run / "checkpoints/last.ckpt"), path)
    module = video_module(train_config(seed=9))
    load_weights(module, InitFrom(tmp_path / "weights.safetensors"))
    name = "transformer.patch_embed.weight"
    assert torch.equal(module.state_dict()[name], weights_of(run)["ema." + name])
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "weights.safetensors").read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"cut\.safetensors: cannot be read"):
        load_weights(module, InitFrom(tmp_path / "cut.safetensors"))


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
