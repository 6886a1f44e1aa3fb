"""Curves, films, throughput and the progress line."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from src.parallel.config import ParallelConfig
from src.training import loggers
from src.training.callbacks.metrics import Monitor, gif
from src.training.callbacks.progress import ProgressLine, clock
from src.training.trainer import fit
from tests.fixtures.toy_modules import ToyData, state_of, train_config, video_module, with_films


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run")
    config = train_config(sample_every=4)
    fit(with_films(video_module(config)), ToyData(10), config, path)
    return path


def board(run: Path) -> EventAccumulator:
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0, "scalars": 0})
    return events.Reload()


def test_curves_are_in_tensorboard_and_in_the_file(run: Path) -> None:
    lines = loggers.read(run / loggers.METRICS)
    events = board(run)
    for name in (
        "loss",
        "grad_norm",
        "lr",
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


def test_films_are_animations(run: Path) -> None:
    events = board(run)
    assert events.Tags()["images"] == ["films/00 a red star", "films/01 FPS-16 a ring moves"]
    images = events.Images("films/01 FPS-16 a ring moves")
    assert [image.step for image in images] == [4, 8, 10]
    picture = Image.open(io.BytesIO(images[-1].encoded_image_string))
    assert (picture.format, picture.n_frames, picture.size) == ("GIF", 5, (4, 4))


def test_films_change_nothing(run: Path, tmp_path: Path) -> None:
    config = train_config()
    fit(video_module(config), ToyData(10), config, tmp_path)
    a, b = (state_of(p / "checkpoints/last.ckpt") for p in (run, tmp_path))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_gif_keeps_frames_and_colours() -> None:
    film = torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
    film[0, 0], film[1, 1], film[2, 2] = 255, 255, 255
    picture = Image.open(io.BytesIO(gif(film, fps=10)))
    for number, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]):
        picture.seek(number)
        assert picture.convert("RGB").getpixel((4, 4)) == colour
        assert picture.info["duration"] == 100


def test_throughput_counts_tokens_of_all_processes_and_leaves_out_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("src.training.callbacks.metrics.time.perf_counter", lambda: now[0])
    module = SimpleNamespace(
        step=0,
        metrics={},
        device="cpu",
        batch_size=lambda b: SimpleNamespace(samples=2, tokens=50),
        across_processes=lambda value, op: value + torch.tensor([4, 50]),  # another process, other films
    )
    trainer: Any = SimpleNamespace(loggers=[], optimizers=[SimpleNamespace(param_groups=[{"lr": 1.0}])])
    monitor = Monitor(every=4)
    monitor.on_train_start(trainer, module)  # type: ignore[arg-type]
    for step in range(1, 9):
        monitor.on_train_batch_start(trainer, module, None, 0)  # type: ignore[arg-type]
        now[0] += 0.5
        module.step = step
        monitor.on_train_batch_end(trainer, module, None, None, 0)  # type: ignore[arg-type]
        if step == 6:
            monitor.on_validation_start(trainer, module)  # type: ignore[arg-type]
            now[0] += 1000
    assert monitor.rates == {"samples_per_s": 6.0, "tokens_per_s": 125.0, "seconds_per_step": 0.5}


def test_progress_line(tmp_path: Path) -> None:
    out = io.StringIO()
    for terminal, words in ((False, "tiny 10/10  left 0:00  loss "), (True, "10/10")):
        config = train_config(progress=False)
        monitor = Monitor(1)
        console = Console(file=out, force_terminal=terminal, width=120)
        line = ProgressLine(10, "tiny", monitor, console)
        fit(video_module(config), ToyData(10), config, tmp_path / str(terminal), callbacks=[monitor, line])
        assert words in out.getvalue()
        assert "tokens/s" in out.getvalue()


def test_time_left_is_of_this_session() -> None:
    line = ProgressLine(1000, "x", Monitor(1), Console(file=io.StringIO()))
    line._first, line._began = 900, 50.0
    assert line._seconds_left(step=950, now=60.0) == pytest.approx(10.0)
    assert [clock(s) for s in (0, 59.6, 61, 3661)] == ["0:00", "1:00", "1:01", "1:01:01"]


def test_blocks_compiled_in_place_keep_their_names(tmp_path: Path) -> None:
    import src.parallel.fsdp as layout

    parallel = ParallelConfig(compile_blocks=True)
    config = train_config(max_steps=1, val_every=0, parallel=parallel)
    module = video_module(config)
    compiled: list[Any] = []
    real = layout.shard_groups
    module.configure_model()
    for group in real(module.transformer):
        assert group._compiled_call_impl is not None
        compiled.append(group)
    assert len(compiled) == 2
    assert not any("_orig_mod" in name for name in module.state_dict())
