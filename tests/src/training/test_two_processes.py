"""FSDP2 on two gloo ranks against one process."""

from pathlib import Path

import pytest
import torch

from src.parallel import checkpoint_io
from src.parallel.consolidate import consolidate
from src.training import loggers
from src.training.callbacks.checkpoint import last_checkpoint
from src.training.trainer import fit
from tests.fixtures.ranks import RankError, Ranks
from tests.fixtures.toy_modules import (
    ToyData,
    state_of,
    train_config,
    two_processes,
    video_module,
    with_films,
)


def train(
    run_dir: Path, processes: int = 1, sharded: bool = False, recomputed: int = 0, **changes: object
) -> int:
    """Train the toy; the step it resumed at."""
    if processes == 2:
        changes["parallel"] = two_processes(sharded_checkpoint=sharded)
    config = train_config(**changes)
    module = video_module(config, num_checkpointed_blocks=recomputed)
    return fit(module, ToyData(config.max_steps), config, run_dir).resumed_at


def train_two(run_dir: Path, sharded: bool = False, changes: dict | None = None) -> int:
    return train(run_dir, 2, sharded, **(changes or {}))


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run of one process."""
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
    ours, theirs = loggers.read(one / loggers.METRICS), loggers.read(two / loggers.METRICS)
    assert [line["step"] for line in ours] == [line["step"] for line in theirs]
    for a, b in zip(ours, theirs, strict=True):
        for name in set(a) & {"loss", "grad_norm", "val/loss", "val/loss_images", "val/loss_t0.34", "lr"}:
            assert a[name] == pytest.approx(b[name], rel=1e-5), (name, a["step"])


def test_weights_and_averages_equal_one_process(one: Path, two: Path) -> None:
    a, b = final(one), final(two)
    assert any(name.startswith("ema.transformer.") for name in a)
    assert_close(a, b)


def test_muon_gathers_what_it_orthogonalises(ranks: Ranks, tmp_path: Path) -> None:
    changes = {"optimizer": "muon", "lr": 1e-3, "max_steps": 4, "val_every": 0}
    train(tmp_path / "one", **changes)
    ranks.run(train_two, tmp_path / "two", False, changes)
    a, b = final(tmp_path / "one"), final(tmp_path / "two")
    # Orthogonalisation in bfloat16 magnifies rounding; orthogonalised shards would differ by over 1e-3.
    assert_close(a, b, 3e-4)


def test_ranks_draw_different_noise(two: Path) -> None:
    # Equal losses above would hold even if both ranks drew the same: the toy's slots then would too.
    from src.flow.noise import randn_slots

    a, b = (randn_slots((4,), 0, "train/noise", 0, slots) for slots in ([0, 1], [2, 3]))
    assert not torch.equal(a, b)


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
    """Same weights; resumes on two ranks and, read whole, on one; consolidates to a gathered file."""
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

    consolidate(path, tmp_path / "whole.ckpt")
    whole = checkpoint_io.read_checkpoint(tmp_path / "whole.ckpt")
    gathered = checkpoint_io.read_checkpoint(last_checkpoint(two))  # type: ignore[arg-type]
    assert whole.keys() == gathered.keys()
    for ours, theirs in zip(whole["optimizer_states"], gathered["optimizer_states"], strict=True):
        assert ours["param_groups"] == theirs["param_groups"]
        for index, entries in theirs["state"].items():
            assert all(torch.equal(ours["state"][index][k], v) for k, v in entries.items())


def test_micro_batches_bf16_and_recomputed_blocks_on_two_ranks(tmp_path: Path, ranks: Ranks) -> None:
    changes = {"max_steps": 4, "precision": "bf16", "val_every": 0}
    ranks.run(train_two, tmp_path / "two", False, {**changes, "micro_batches": 2, "recomputed": 2})
    train(tmp_path / "one", **changes)  # type: ignore[arg-type]
    ours, theirs = (loggers.read(tmp_path / n / loggers.METRICS) for n in ("two", "one"))
    for a, b in zip(ours, theirs, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=2e-2)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=5e-2)


def generated(run_dir: Path, processes: int) -> torch.Tensor:
    """Train, with films in between (which must not disturb the shards), and make some at the end."""
    changes = {"parallel": two_processes()} if processes == 2 else {}
    config = train_config(max_steps=2, val_every=0, sample_every=1, **changes)
    module = with_films(video_module(config))
    fit(module, ToyData(2), config, run_dir)
    return module.generate(["a star", "a ring"], (4, 2, 4, 4), [1, 2])


def test_films_of_sharded_weights(tmp_path: Path, ranks: Ranks) -> None:
    one = generated(tmp_path / "one", 1)
    for films in ranks.run(generated, tmp_path / "two", 2):
        torch.testing.assert_close(films, one, rtol=1e-3, atol=1e-3)


def built_too_early(run_dir: Path) -> None:
    config = train_config(parallel=two_processes())
    module = video_module(config)
    module.configure_model()
    fit(module, ToyData(10), config, run_dir)


def test_a_module_built_for_one_process_is_not_trained_on_two(tmp_path: Path, ranks: Ranks) -> None:
    with pytest.raises(RankError, match="built for one process before it was given several"):
        ranks.run(built_too_early, tmp_path)


def poisoned(run_dir: Path) -> None:
    config = train_config(parallel=two_processes(), log_every=100)
    fit(video_module(config), ToyData(10, poison=6), config, run_dir)


def test_nan_on_any_rank_stops_all(tmp_path: Path, ranks: Ranks) -> None:
    with pytest.raises(
        RankError, match=r"NonFiniteError: step 6: loss is nan .* batch: film-6-0, film-6-1, film-6-2"
    ):
        ranks.run(poisoned, tmp_path)
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoints/step-00000004.ckpt"


def full_disk(run_dir: Path) -> None:
    from tests.src.training.callbacks.test_checkpoint import no_space_after

    config = train_config(parallel=two_processes())
    with no_space_after(20_000, from_save=2):
        fit(video_module(config), ToyData(10), config, run_dir)


def test_disk_full_on_the_writing_rank_stops_all(tmp_path: Path, ranks: Ranks) -> None:
    with pytest.raises(RankError, match=r"CheckpointError: .*step-00000008.ckpt: .*No space left"):
        ranks.run(full_disk, tmp_path)
    path = last_checkpoint(tmp_path)
    assert path == tmp_path / "checkpoints/step-00000004.ckpt"
    checkpoint_io.read_checkpoint(path)


def _copy_checkpoint(source: Path, target: Path, step: int) -> None:
    import shutil

    name = f"step-{step:08d}.ckpt"
    (target / "checkpoints").mkdir(parents=True)
    copy = shutil.copytree if (source / "checkpoints" / name).is_dir() else shutil.copy
    copy(source / "checkpoints" / name, target / "checkpoints" / name)
