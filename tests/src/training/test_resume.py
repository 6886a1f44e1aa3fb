"""A run that is killed anywhere and resumed ends with the same weights, bit for bit."""

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any
from unittest import mock

import lightning as L
import pytest
import torch

from src.parallel import checkpoint_io
from src.training.checkpoint_paths import last_checkpoint
from src.training.metrics_file import METRICS_FILE, read_metrics
from src.training.trainer import fit
from tests.fixtures.ranks import Ranks, run_in_process
from tests.fixtures.toy_modules import ToyData, state_of, train_config, two_processes, video_module


class Kill(L.Callback):
    """Kills this process (SIGKILL) before, during, or after a step's hooks."""

    def __init__(self, step: int, where: str) -> None:
        self.step, self.where = step, where

    def _kill(self, where: str, step: int) -> None:
        if where == self.where and step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_batch_start(self, trainer: L.Trainer, module: Any, *rest: Any) -> None:
        self._kill("start", module.step)

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, *rest: Any) -> None:
        self._kill("end", module.step)

    def on_validation_start(self, trainer: L.Trainer, module: Any) -> None:
        self._kill("validation", module.step)

    def on_save_checkpoint(self, trainer: L.Trainer, module: Any, checkpoint: Any) -> None:
        self._kill("dump", module.step)


def killed(run_dir: Path, step: int, where: str, workers: int = 0, processes: int = 1) -> None:
    config = configured(processes)
    # A killed process cannot share our fork server, and starting another takes seconds.
    fork = multiprocessing.context.ForkContext()
    with mock.patch("multiprocessing.get_context", return_value=fork):
        fit(video_module(config), ToyData(10, workers), config, run_dir, callbacks=[Kill(step, where)])


def killed_while_writing(run_dir: Path, fraction: float) -> None:
    """Train and die while the second checkpoint is being written."""
    real = checkpoint_io._Sink.write
    files: list[object] = []
    limit = fraction * CHECKPOINT_BYTES

    def write(self: checkpoint_io._Sink, data: bytes) -> int:
        if self.file not in files:
            files.append(self.file)
        if len(files) == 2 and self.file.tell() > limit:
            self.file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, data)

    checkpoint_io._Sink.write = write  # type: ignore[method-assign]
    config = configured(1)
    fit(video_module(config), ToyData(10), config, run_dir)


CHECKPOINT_BYTES = 150_000  # the toy checkpoints are larger


def configured(processes: int) -> Any:
    return train_config(**({"parallel": two_processes()} if processes == 2 else {}))


def finish(run_dir: Path, workers: int = 0, processes: int = 1) -> int:
    config = configured(processes)
    return fit(video_module(config), ToyData(10, workers), config, run_dir).resumed_at


def finish_two(run_dir: Path) -> int:
    return finish(run_dir, processes=2)


def checkpoint_of(run_dir: Path) -> dict[str, Any]:
    path = last_checkpoint(run_dir)
    assert path is not None
    return checkpoint_io.read_checkpoint(path)


def assert_same(a: dict[str, Any], b: dict[str, Any]) -> None:
    """Compare weights, EMA, optimizer states, counters and the position of the data loader."""
    assert a["state_dict"].keys() == b["state_dict"].keys()
    assert all(torch.equal(a["state_dict"][k], b["state_dict"][k]) for k in a["state_dict"])
    for ours, theirs in zip(a["optimizer_states"], b["optimizer_states"], strict=True):
        assert ours["param_groups"] == theirs["param_groups"]
        for index, entries in theirs["state"].items():
            assert all(torch.equal(ours["state"][index][k], v) for k, v in entries.items())
    assert a["val_history"] == b["val_history"]
    loaders = [c["loops"]["fit_loop"]["state_dict"]["combined_loader"] for c in (a, b)]
    assert loaders[0] == loaders[1] == [{"step": 10}]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("undisturbed")
    finish(path)
    return checkpoint_of(path)


@pytest.mark.parametrize(
    ("step", "where", "resumes_at"),
    [
        (2, "start", 0),  # before the first checkpoint
        (4, "end", 0),  # step done, checkpoint due but not yet begun
        (4, "dump", 0),  # while the checkpoint is gathered
        (5, "validation", 4),  # a validation without a checkpoint
        (8, "start", 8),  # right after a checkpoint
        (10, "validation", 8),  # the last step's validation, with the last checkpoint pending
    ],
)
def test_kill_9(undisturbed: dict[str, Any], tmp_path: Path, step: int, where: str, resumes_at: int) -> None:
    assert run_in_process(killed, tmp_path, step, where) == -signal.SIGKILL
    assert finish(tmp_path) == resumes_at
    assert_same(checkpoint_of(tmp_path), undisturbed)
    steps = [line["step"] for line in read_metrics(tmp_path / METRICS_FILE) if "train/loss" in line]
    assert steps == list(range(1, 11))  # every step recorded once


@pytest.mark.parametrize("fraction", [0.0, 0.5])
def test_kill_9_in_the_middle_of_writing(
    undisturbed: dict[str, Any], tmp_path: Path, fraction: float
) -> None:
    assert run_in_process(killed_while_writing, tmp_path, fraction) == -signal.SIGKILL
    assert len(list((tmp_path / "checkpoints").glob(".*.tmp"))) == 1
    assert finish(tmp_path) == 4
    assert not list((tmp_path / "checkpoints").glob(".*.tmp"))
    assert_same(checkpoint_of(tmp_path), undisturbed)


def test_kill_9_with_two_workers(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    assert run_in_process(killed, tmp_path, 6, "end", 2) == -signal.SIGKILL
    assert finish(tmp_path, workers=2) == 4
    assert_same(checkpoint_of(tmp_path), undisturbed)


def test_kill_9_with_two_ranks(tmp_path: Path, ranks: Ranks) -> None:
    mortal = Ranks()
    with pytest.raises(EOFError):
        mortal.run(killed, tmp_path / "a", 6, "end", 0, 2)
    mortal.close()
    assert ranks.run(finish_two, tmp_path / "a") == [4, 4]
    ranks.run(finish_two, tmp_path / "b")
    assert_same(checkpoint_of(tmp_path / "a"), checkpoint_of(tmp_path / "b"))


def test_finished_run_continues_with_more_steps(tmp_path: Path) -> None:
    for name, lengths in (("long", (13,)), ("short", (10, 13))):
        for steps in lengths:
            config = train_config(max_steps=steps)
            fit(video_module(config), ToyData(steps), config, tmp_path / name)
    a, b = (state_of(tmp_path / n / "checkpoints/last.ckpt") for n in ("long", "short"))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_validation_does_not_change_training(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    config = train_config(val_every=0, log_every=3)
    fit(video_module(config), ToyData(10, validation=False), config, tmp_path)
    ours = checkpoint_of(tmp_path)["state_dict"]
    assert all(torch.equal(ours[k], v) for k, v in undisturbed["state_dict"].items())


def test_plateau_resumes(tmp_path: Path) -> None:
    changes = {"schedule": "plateau", "plateau_patience": 0, "val_every": 1, "max_steps": 8, "lr": 0.05}
    for name in ("a", "b"):
        config = train_config(**changes)
        callbacks: list[L.Callback] = []
        if name == "b":
            run_in_process(killed_plateau, tmp_path / name, changes)
        fit(video_module(config), ToyData(8), config, tmp_path / name, callbacks=callbacks)
    lines = [read_metrics(tmp_path / n / METRICS_FILE) for n in ("a", "b")]
    rates = [[x["train/lr"] for x in part if "train/lr" in x] for part in lines]
    assert rates[0] == rates[1]
    assert rates[0][-1] < 0.05  # it was halved


def killed_plateau(run_dir: Path, changes: dict[str, Any]) -> None:
    config = train_config(**changes)
    fit(video_module(config), ToyData(8), config, run_dir, callbacks=[Kill(6, "end")])
