"""FSDP2 on two gloo ranks against one process."""

import shutil
from dataclasses import is_dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import lightning as L
import pytest
import torch

from src.flow.noise import randn_samples
from src.inference.sample import sample_latents
from src.parallel import checkpoint_io
from src.parallel.consolidate import consolidate
from src.training.checkpoint_paths import last_checkpoint
from src.training.metrics_file import METRICS_FILE, read_metrics
from src.training.trainer import fit
from tests.fixtures.ranks import RankError, Ranks
from tests.fixtures.toy_modules import (
    ToyClipData,
    ToyData,
    sample_videos,
    state_of,
    tae_module,
    train_config,
    two_processes,
    video_module,
)
from tests.src.training.callbacks.test_checkpoint import no_space_after


def train(
    run_dir: Path, processes: int = 1, sharded: bool = False, num_checkpointed: int = 0, **changes: object
) -> int:
    """Train the toy model; return the step it resumed at."""
    if processes == 2:
        changes["parallel"] = two_processes(sharded_checkpoint=sharded)
    config = train_config(**changes)
    module = video_module(config, num_checkpointed_blocks=num_checkpointed)
    return fit(module, ToyData(config.max_steps), config, run_dir).resumed_at


def train_two(run_dir: Path, sharded: bool = False, changes: dict | None = None) -> int:
    return train(run_dir, 2, sharded, **(changes or {}))


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run of one process."""
    path = tmp_path_factory.mktemp("one")
    train(path)
    return path


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, ranks: Ranks) -> Path:
    """The same run on two ranks."""
    path = tmp_path_factory.mktemp("two")
    ranks.run(train_two, path)
    return path


def final(run_dir: Path) -> dict[str, torch.Tensor]:
    path = last_checkpoint(run_dir)
    assert path is not None
    return state_of(path)


def assert_close(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], tolerance: float = 2e-4) -> None:
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=tolerance, atol=tolerance, msg=name)


def test_losses_norms_and_validation_equal_one_process(one: Path, two: Path) -> None:
    ours, theirs = read_metrics(one / METRICS_FILE), read_metrics(two / METRICS_FILE)
    assert [line["step"] for line in ours] == [line["step"] for line in theirs]
    for a, b in zip(ours, theirs, strict=True):
        for name in set(a) & (
            {"train/loss", "train/grad_norm", "train/lr"} | {"val/loss", "val/loss_images", "val/loss_t0.34"}
        ):
            assert a[name] == pytest.approx(b[name], rel=1e-5), (name, a["step"])


def test_weights_and_ema_equal_one_process(one: Path, two: Path) -> None:
    a, b = final(one), final(two)
    assert any(name.startswith("ema.transformer.") for name in a)
    assert_close(a, b)


def test_muon_orthogonalizes_full_matrices(ranks: Ranks, tmp_path: Path) -> None:
    changes = {"optimizer": "muon", "lr": 1e-3, "max_steps": 4, "val_every": 0}
    train(tmp_path / "one", **changes)
    ranks.run(train_two, tmp_path / "two", False, changes)
    a, b = final(tmp_path / "one"), final(tmp_path / "two")
    # Orthogonalization magnifies rounding; orthogonalizing the shards alone would differ by over 1e-3.
    assert_close(a, b, 3e-4)


def drawn_noise(run_dir: Path) -> list[torch.Tensor]:
    """Train two steps; return all noise that this rank drew."""
    drawn = []

    def recorded(*args: Any) -> torch.Tensor:
        drawn.append(randn_samples(*args))
        return drawn[-1]

    config = train_config(max_steps=2, val_every=0, parallel=two_processes())
    with mock.patch("src.training.modules.flow.randn_samples", recorded):
        fit(video_module(config), ToyData(2), config, run_dir)
    return drawn


def test_ranks_draw_different_noise(tmp_path: Path, ranks: Ranks) -> None:
    a, b = ranks.run(drawn_noise, tmp_path)
    assert len(a) == len(b) >= 6  # posterior, time and noise of each step
    assert not any(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_checkpoint_of_two_ranks_resumes_on_one(one: Path, two: Path, tmp_path: Path) -> None:
    _copy_checkpoint(two, tmp_path, 8)
    assert train(tmp_path) == 8
    assert_close(final(tmp_path), final(one))


def test_checkpoint_of_one_process_resumes_on_two(one: Path, tmp_path: Path, ranks: Ranks) -> None:
    _copy_checkpoint(one, tmp_path, 8)
    assert ranks.run(train_two, tmp_path) == [8, 8]
    assert_close(final(tmp_path), final(one))


def test_two_ranks_resume_bit_for_bit(two: Path, tmp_path: Path, ranks: Ranks) -> None:
    _copy_checkpoint(two, tmp_path, 4)
    assert ranks.run(train_two, tmp_path) == [4, 4]
    a, b = final(tmp_path), final(two)
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_sharded_format(two: Path, tmp_path: Path, ranks: Ranks) -> None:
    """Same weights; resumes on two ranks and on one; consolidates to a gathered file."""
    ranks.run(train_two, tmp_path / "a", True)
    path = last_checkpoint(tmp_path / "a")
    assert path is not None
    assert checkpoint_io.is_sharded(path)
    reference = final(two)
    a = final(tmp_path / "a")
    assert all(torch.equal(a[name], reference[name]) for name in reference)

    for target in ("b", "c"):
        _copy_checkpoint(tmp_path / "a", tmp_path / target, 8)
    assert ranks.run(train_two, tmp_path / "b", True) == [8, 8]
    b = final(tmp_path / "b")
    assert all(torch.equal(b[name], reference[name]) for name in reference)
    assert train(tmp_path / "c") == 8
    assert_close(final(tmp_path / "c"), reference)

    consolidate(path, tmp_path / "full.ckpt")
    full = checkpoint_io.read_checkpoint(tmp_path / "full.ckpt")
    gathered = checkpoint_io.read_checkpoint(last_checkpoint(two))  # type: ignore[arg-type]
    assert full.keys() == gathered.keys()
    for ours, theirs in zip(full["optimizer_states"], gathered["optimizer_states"], strict=True):
        assert ours["param_groups"] == theirs["param_groups"]
        for index, entries in theirs["state"].items():
            assert all(torch.equal(ours["state"][index][k], v) for k, v in entries.items())


def test_micro_batches_bf16_and_checkpointed_blocks_on_two_ranks(tmp_path: Path, ranks: Ranks) -> None:
    changes = {"max_steps": 4, "precision": "bf16", "val_every": 0}
    ranks.run(train_two, tmp_path / "two", False, {**changes, "num_micro_batches": 2, "num_checkpointed": 2})
    train(tmp_path / "one", **changes)  # type: ignore[arg-type]
    ours, theirs = (read_metrics(tmp_path / n / METRICS_FILE) for n in ("two", "one"))
    for a, b in zip(ours, theirs, strict=True):
        assert a["train/loss"] == pytest.approx(b["train/loss"], rel=3e-5)
        assert a["train/grad_norm"] == pytest.approx(b["train/grad_norm"], rel=2e-3)


class RecordDtypes(L.Callback):
    """Records the dtypes of the tensors that enter and leave every submodule of some networks."""

    def __init__(self, *networks: str) -> None:
        self.networks = networks
        self.found: dict[str, tuple[list[torch.dtype], list[torch.dtype]]] = {}

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        for network in self.networks:
            for name, submodule in getattr(module, network).named_modules():
                submodule.register_forward_hook(partial(self._record, f"{network}.{name}"))

    def _record(self, name: str, _: torch.nn.Module, inputs: Any, output: Any) -> None:
        self.found[name] = (dtypes_in(inputs), dtypes_in(output))


def dtypes_in(value: Any) -> list[torch.dtype]:
    if isinstance(value, torch.Tensor):
        return [value.dtype]
    if isinstance(value, tuple | list | dict):
        return [
            dtype
            for each in (value.values() if isinstance(value, dict) else value)
            for dtype in dtypes_in(each)
        ]
    return dtypes_in(vars(value)) if is_dataclass(value) else []


def dtypes_in_bf16(kind: str, processes: int, run_dir: Path) -> dict:
    """Train one step in bf16; return the dtypes at every submodule."""
    parallel = {"parallel": two_processes()} if processes == 2 else {}
    config = train_config(max_steps=1, val_every=0, precision="bf16", **parallel)
    with mock.patch("src.training.precision.has_bf16", return_value=True):  # others emulate it
        if kind == "video":
            recorder = RecordDtypes("text", "transformer")
            fit(
                video_module(config, qk_norm=True, bias=True),
                ToyData(1),
                config,
                run_dir,
                callbacks=[recorder],
            )
        else:
            recorder = RecordDtypes("tae", "discriminator")
            fit(tae_module(config, gan_start=0), ToyClipData(1), config, run_dir, callbacks=[recorder])
    return recorder.found


@pytest.mark.parametrize("kind", ["video", "tae"])
def test_sharded_bf16_has_the_dtypes_of_one_process(kind: str, tmp_path: Path, ranks: Ranks) -> None:
    one = dtypes_in_bf16(kind, 1, tmp_path / "one")
    for two in ranks.run(dtypes_in_bf16, kind, 2, tmp_path / "two"):
        assert {name: two[name] for name in one if two[name] != one[name]} == {}
    if kind == "video":
        block_inputs, block_outputs = one["transformer.blocks.1"]
        assert block_inputs[:2] + block_outputs == [torch.float32] * 3  # residual stream and modulation
        assert one["transformer.blocks.1.ffn.down"] == ([torch.bfloat16], [torch.bfloat16])


def sampled(run_dir: Path, processes: int) -> torch.Tensor:
    """Train with sample videos in between, which must not disturb the shards; then sample."""
    changes = {"parallel": two_processes()} if processes == 2 else {}
    config = train_config(max_steps=2, val_every=0, sample_every=1, **changes)
    module = video_module(config)
    fit(module, ToyData(2), config, run_dir, callbacks=[sample_videos(every=1)])
    return sample_latents(module.model(ema=True), ["a star", "a ring"], (4, 2, 4, 4), [1, 2])


def test_samples_of_sharded_weights(tmp_path: Path, ranks: Ranks) -> None:
    one = sampled(tmp_path / "one", 1)
    for latents in ranks.run(sampled, tmp_path / "two", 2):
        torch.testing.assert_close(latents, one, rtol=1e-3, atol=1e-3)


def built_too_early(run_dir: Path) -> None:
    config = train_config(parallel=two_processes())
    module = video_module(config)
    module.configure_model()
    fit(module, ToyData(10), config, run_dir)


def test_a_module_built_for_one_process_is_not_trained_on_two(tmp_path: Path, ranks: Ranks) -> None:
    with pytest.raises(RankError, match="was built for one process and cannot train on several"):
        ranks.run(built_too_early, tmp_path)


def poisoned(run_dir: Path) -> None:
    config = train_config(parallel=two_processes(), log_every=100, max_skipped_steps=0)
    fit(video_module(config), ToyData(10, poison=6), config, run_dir)


def test_nan_on_any_rank_stops_all(tmp_path: Path, ranks: Ranks) -> None:
    with pytest.raises(
        RankError, match=r"NonFiniteError: step 6: loss is nan, .* batch: video-6-0, video-6-1, video-6-2"
    ):
        ranks.run(poisoned, tmp_path)
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoints/step-00000004.ckpt"


def full_disk(run_dir: Path, sharded: bool) -> None:
    config = train_config(parallel=two_processes(sharded_checkpoint=sharded))
    with no_space_after(0 if sharded else 20_000, from_save=2):  # of a sharded one only meta.pt is ours
        fit(video_module(config), ToyData(10), config, run_dir)


@pytest.mark.parametrize("sharded", [False, True])
def test_disk_full_on_the_writing_rank_stops_all(sharded: bool, tmp_path: Path, ranks: Ranks) -> None:
    with pytest.raises(RankError, match=r"CheckpointError: .*step-00000008.ckpt: .*No space left"):
        ranks.run(full_disk, tmp_path, sharded)
    path = last_checkpoint(tmp_path)
    assert path == tmp_path / "checkpoints/step-00000004.ckpt"
    checkpoint_io.read_checkpoint(path)
    assert not list(path.parent.glob(".*.tmp"))


def _copy_checkpoint(source: Path, target: Path, step: int) -> None:
    name = f"step-{step:08d}.ckpt"
    (target / "checkpoints").mkdir(parents=True)
    copy = shutil.copytree if (source / "checkpoints" / name).is_dir() else shutil.copy
    copy(source / "checkpoints" / name, target / "checkpoints" / name)
