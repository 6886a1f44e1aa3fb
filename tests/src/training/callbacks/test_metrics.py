"""Curves, throughput and the progress line."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from src.parallel.config import ParallelConfig
from src.parallel.fsdp import shard_groups
from src.training.callbacks.metrics import MetricsCallback
from src.training.callbacks.progress import ProgressLine
from src.training.metrics_file import METRICS_FILE, read_metrics
from src.training.trainer import fit
from tests.fixtures.toy_modules import ToyData, train_config, video_module


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run")
    config = train_config()
    fit(video_module(config), ToyData(10), config, path)
    return path


def board(run: Path) -> EventAccumulator:
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    return events.Reload()


def test_tensorboard_and_file_have_the_same_curves(run: Path) -> None:
    lines = read_metrics(run / METRICS_FILE)
    events = board(run)
    for name in (
        "train/loss",
        "train/grad_norm",
        "train/lr",
        "val/loss",
        "val/loss_images",
        "val/loss_videos",
        "val/loss_t0.34",
    ):
        curve = [(event.step, event.value) for event in events.Scalars(name)]
        assert curve == [
            (line["step"], pytest.approx(line[name], rel=1e-6)) for line in lines if name in line
        ]
        assert curve


def test_throughput_sums_processes_and_leaves_out_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("src.training.callbacks.metrics.time.perf_counter", lambda: now[0])
    module = SimpleNamespace(
        step=0,
        latest_metrics=dict,
        num_peers=1,
        device="cpu",
        batch_size=lambda b: SimpleNamespace(samples=2, tokens=50),
        reduce_over_ranks=lambda value, op: (
            value + torch.tensor([4, 50])
        ),  # another process with other videos
    )
    trainer: Any = SimpleNamespace(loggers=[], optimizers=[SimpleNamespace(param_groups=[{"lr": 1.0}])])
    metrics = MetricsCallback(every=4)
    metrics.on_train_start(trainer, module)  # type: ignore[arg-type]
    for step in range(1, 9):
        metrics.on_train_batch_start(trainer, module, None, 0)  # type: ignore[arg-type]
        now[0] += 0.5
        module.step = step
        metrics.on_train_batch_end(trainer, module, None, None, 0)  # type: ignore[arg-type]
        if step == 6:
            metrics.on_validation_start(trainer, module)  # type: ignore[arg-type]
            now[0] += 1000
    assert metrics.rates == {"samples_per_s": 6.0, "tokens_per_s": 125.0, "seconds_per_step": 0.5}


def test_progress_line(tmp_path: Path) -> None:
    out = io.StringIO()
    for terminal, words in ((False, "tiny 10/10  left 0:00  loss "), (True, "10/10")):
        config = train_config(progress=False)
        metrics = MetricsCallback(1)
        console = Console(file=out, force_terminal=terminal, width=120)
        line = ProgressLine(10, "tiny", metrics, console)
        fit(video_module(config), ToyData(10), config, tmp_path / str(terminal), callbacks=[metrics, line])
        assert words in out.getvalue()
        assert "tokens/s" in out.getvalue()


def test_blocks_compiled_in_place_keep_their_names(tmp_path: Path) -> None:
    parallel = ParallelConfig(compile_blocks=True)
    config = train_config(max_steps=1, val_every=0, parallel=parallel)
    module = video_module(config)
    compiled: list[Any] = []
    module.configure_model()
    for group in shard_groups(module.transformer):
        assert group._compiled_call_impl is not None
        compiled.append(group)
    assert len(compiled) == 2
    assert not any("_orig_mod" in name for name in module.state_dict())
