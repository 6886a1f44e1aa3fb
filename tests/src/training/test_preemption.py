"""Signals of a scheduler: a checkpoint, an exit code for requeueing, and the same run afterwards."""

import os
import signal
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from src.training.preemption import REQUEUE_EXIT_CODE, PreemptionSignals
from src.training.trainer import fit
from tests.fixtures.toy_modules import ToyData, state_of, train_config, video_module


class SendSignal(L.Callback):
    """Sends this process a signal during one step."""

    def __init__(self, number: signal.Signals, step: int) -> None:
        self.number, self.step = number, step

    def on_train_batch_start(self, trainer: L.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        if module.step == self.step:
            os.kill(os.getpid(), self.number)


def train(run_dir: Path, *callbacks: L.Callback) -> Any:
    config = train_config(max_steps=4, val_every=2, checkpoint_every=4)
    return fit(video_module(config), ToyData(4), config, run_dir, callbacks=callbacks)


@pytest.mark.parametrize(("number", "step"), [(signal.SIGUSR1, 2), (signal.SIGTERM, 1)])
def test_a_signal_ends_a_run_with_a_checkpoint_and_the_same_command_resumes(
    tmp_path: Path, number: signal.Signals, step: int
) -> None:
    handler = signal.getsignal(number)
    with pytest.raises(SystemExit) as stop:
        train(tmp_path / "stopped", SendSignal(number, step))
    assert stop.value.code == REQUEUE_EXIT_CODE
    assert signal.getsignal(number) == handler
    rest = train(tmp_path / "stopped")
    assert rest.resumed_at == step + 1  # step 1 is validated too, and its result is in the checkpoint
    full = train(tmp_path / "full")
    a, b = state_of(rest.checkpoint), state_of(full.checkpoint)
    assert all(torch.equal(a[key], b[key]) for key in a.keys() | b.keys())
    assert rest.metrics == full.metrics


def test_processes_agree_every_few_steps() -> None:
    class Module:
        step, device, received = 3, torch.device("cpu"), 1.0

        def reduce_over_ranks(self, value: torch.Tensor, op: str) -> torch.Tensor:
            assert op == "sum"
            return value + self.received  # another process has had the signal

    signals, module = PreemptionSignals(every=4), Module()
    assert not signals.stops(module, 2)  # type: ignore[arg-type]
    module.step = 4
    assert signals.stops(module, 2)  # type: ignore[arg-type]
    module.received = 0.0
    assert not signals.stops(module, 2)  # type: ignore[arg-type]
