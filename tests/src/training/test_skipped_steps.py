"""Steps with NaN change nothing, on one process and on two; they are named, counted and limited."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from src.core.errors import UserError
from src.parallel import checkpoint_io
from src.parallel.fsdp import to_local
from src.training import precision
from src.training.checkpoint_paths import last_checkpoint
from src.training.metrics_file import METRICS_FILE, read_metrics
from src.training.skipped_steps import GradientStep, NonFiniteError, SkippedSteps
from src.training.trainer import fit
from tests.fixtures.mesh_runs import MeshModule, build, toy_batch
from tests.fixtures.ranks import Ranks
from tests.fixtures.toy_modules import ToyData, state_of, tae_module, train_config, video_module

POISONED = 2


def step_result(*, finite: bool) -> GradientStep:
    value = torch.tensor(1.0 if finite else float("nan"))
    return GradientStep(value, value, torch.tensor(float(not finite)))


def note(skipped: SkippedSteps, step: int, *finite: bool) -> None:
    for each in finite:
        skipped.note(step, [f"video-{step}"], step_result(finite=each))


def test_steps_in_a_row_are_counted_over_calls_and_limited() -> None:
    skipped = SkippedSteps(limit=2)
    note(skipped, 0, False)
    note(skipped, 1, True, False)  # the discriminator's alone
    assert [line.split(";")[0] for line in skipped.read(lambda ids: ids)] == [
        "step 0: loss is nan, gradient norm is nan",
        "step 1: loss is nan, gradient norm is nan",
    ]
    assert (skipped.total, skipped.in_a_row) == (2, 2)
    note(skipped, 2, True, True)
    note(skipped, 3, False, False)
    note(skipped, 4, False)
    assert len(skipped.read(lambda ids: [*ids, "other"])) == 2
    assert (skipped.total, skipped.in_a_row) == (4, 2)
    note(skipped, 5, False)
    with pytest.raises(NonFiniteError) as error:
        skipped.read(lambda ids: [*ids, "other"])
    assert str(error.value) == (
        "step 5: loss is nan, gradient norm is nan; skipped, no weight changed; batch: video-5, other; "
        "3 steps in a row: train.max_skipped_steps=2 allows no more; lower train.lr, or leave these samples "
        "out"
    )


def tensors_of(module: MeshModule) -> dict[str, Tensor]:
    """Return copies of this process's weights and optimizer state."""
    found = {name: to_local(p.detach()).clone() for name, p in module.named_parameters()}
    for number, state in enumerate(module.optimizer.state.values()):
        found |= {f"{number}/{key}": to_local(value).clone() for key, value in state.items()}
    return found


def train_with_a_poisoned_step(
    mesh: str, optimizer: str, poison: bool
) -> tuple[list[dict[str, Tensor]], int]:
    """Return this process's tensors after each of four steps, and the number of skipped ones.

    Without `poison` the step is left out, and only counted.
    """
    module = build(mesh, optimizer=optimizer)
    module.optimizer = module.configure_optimizers()
    module.train()
    place = (0, 1) if module.mesh is None else (module.mesh.data_rank, module.mesh.num_data_ranks)
    found = []
    for step in range(4):
        batch = toy_batch(step, *place, packed=False)
        if step == POISONED and not poison:
            module.advance_step()
        else:
            if step == POISONED and 3 in batch.global_indices:  # one sample of one process
                batch.mean_BCTHW[-1] = float("nan")
            module.training_step(batch, step)
        found.append(tensors_of(module))
    module.skipped.read(lambda ids: ids)
    return found, module.skipped.total


def check_poisoned_step(poisoned: Any, left_out: Any) -> None:
    (found, num_skipped), (expected, _) = poisoned, left_out
    assert num_skipped == 1
    for number in range(4):
        for name, value in expected[number].items():
            assert torch.equal(found[number][name], value), (number, name)
    assert any(not torch.equal(found[3][name], value) for name, value in found[2].items())


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_poisoned_step_changes_nothing(optimizer: str) -> None:
    check_poisoned_step(*(train_with_a_poisoned_step("one", optimizer, poison) for poison in (True, False)))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_poisoned_step_of_one_process_changes_nothing_on_two(optimizer: str, ranks: Ranks) -> None:
    poisoned, left_out = (
        ranks.run(train_with_a_poisoned_step, "fsdp2", optimizer, poison) for poison in (True, False)
    )
    for ours, theirs in zip(poisoned, left_out, strict=True):
        check_poisoned_step(ours, theirs)


def test_a_run_goes_on_and_names_the_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = train_config(max_steps=5, val_every=0, log_every=4)
    fit(video_module(config), ToyData(5, poison=2), config, tmp_path)
    assert capsys.readouterr().out.splitlines() == [
        "step 2: loss is nan, gradient norm is nan; skipped, no weight changed; "
        "batch: video-2-0, video-2-1, video-2-2, video-2-3"
    ]
    logged = {line["step"]: line.get("train/skipped_steps") for line in read_metrics(tmp_path / METRICS_FILE)}
    assert logged == {1: None, 4: 1}
    path = last_checkpoint(tmp_path)
    assert path is not None
    assert checkpoint_io.read_checkpoint(path)["skipped_steps"] == {"total": 1, "in_a_row": 0}
    assert all(torch.isfinite(value).all() for value in state_of(path).values())


def train_fp16(mesh: str, precision_name: str = "fp16") -> tuple[list[float], float]:
    """Return the losses of four steps, of which the third has NaN, and the last scale of the loss."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "has_fp16", lambda device_type: True)  # emulated where it is not
        module = build(mesh, precision=precision_name)
    module.optimizer = module.configure_optimizers()
    module.train()
    place = (0, 1) if module.mesh is None else (module.mesh.data_rank, module.mesh.num_data_ranks)
    losses = []
    for step in range(4):
        batch = toy_batch(step, *place, packed=False)
        if step == POISONED and 3 in batch.global_indices:
            batch.mean_BCTHW[-1] = float("nan")
        module.training_step(batch, step)
        losses.append(float(module.metrics["loss"]))
        assert all(p.dtype == torch.float32 for p in module.parameters())
    return losses, 0.0 if module._loss_scale is None else float(module._loss_scale.scale)


def test_fp16_scales_the_loss(ranks: Ranks) -> None:
    exact, _ = train_fp16("one", "fp32")
    for losses, scale in (train_fp16("one"), *ranks.run(train_fp16, "fsdp2")):
        assert losses == pytest.approx(exact, rel=5e-3, nan_ok=True)
        assert losses != exact
        assert scale == 2.0**15  # halved once


def test_a_scale_that_is_not_undone_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clipping hides a factor; the norm does not."""
    monkeypatch.setattr(precision, "has_fp16", lambda device_type: True)
    norms = []
    for name in ("fp16", "fp32"):
        module = build("one", precision=name)
        module.optimizer = module.configure_optimizers()
        module.training_step(toy_batch(0, 0, 1, packed=False), 0)
        norms.append(float(module.metrics["grad_norm"]))
    assert norms[0] == pytest.approx(norms[1], rel=5e-3)


def test_fp16_resumes_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_fp16", lambda device_type: True)
    monkeypatch.setattr("src.training.loss_scale.INTERVAL", 2)  # the scale grows at steps 2 and 4
    states = []
    for name, stops in (("full", (5,)), ("resumed", (3, 5))):
        for stop in stops:
            config = train_config(max_steps=stop, val_every=0, precision="fp16")
            fit(video_module(config), ToyData(5), config, tmp_path / name)
        path = last_checkpoint(tmp_path / name)
        assert path is not None
        states.append((checkpoint_io.read_checkpoint(path)["loss_scale"], state_of(path)))
    (full_scale, full), (scale, resumed) = states
    assert scale == full_scale
    assert scale["scale"] > 2.0**16
    for tensor_name, value in full.items():
        assert torch.equal(resumed[tensor_name], value), tensor_name


def test_only_modules_that_scale_their_loss_train_in_fp16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_fp16", lambda device_type: True)
    with pytest.raises(UserError, match=r"TAEModule does not train with .*fp16"):
        tae_module(train_config(precision="fp16")).configure_model()
