"""Sample videos and reconstructions in TensorBoard."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from src.training.callbacks.metrics import MetricsCallback
from src.training.callbacks.samples import ReconstructionVideos, encode_gif, write_videos
from src.training.trainer import fit
from tests.fixtures.toy_modules import (
    ToyClipData,
    ToyClips,
    ToyData,
    sample_videos,
    state_of,
    tae_module,
    train_config,
    video_module,
)


def read_events(run_dir: Path) -> EventAccumulator:
    return EventAccumulator(str(run_dir), size_guidance={"images": 0}).Reload()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run")
    config = train_config()
    fit(video_module(config), ToyData(10), config, path, callbacks=[sample_videos(every=4)])
    return path


def test_samples_are_animations(run: Path) -> None:
    events = read_events(run)
    assert events.Tags()["images"] == ["samples/00 a red star", "samples/01 FPS-16 a ring moves"]
    images = events.Images("samples/01 FPS-16 a ring moves")
    assert [image.step for image in images] == [4, 8, 10]
    image = Image.open(io.BytesIO(images[-1].encoded_image_string))
    assert (image.format, image.n_frames, image.size) == ("GIF", 5, (4, 4))


def test_samples_do_not_change_training(run: Path, tmp_path: Path) -> None:
    config = train_config()
    fit(video_module(config), ToyData(10), config, tmp_path)
    a, b = (state_of(p / "checkpoints/last.ckpt") for p in (run, tmp_path))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_original_and_reconstruction_side_by_side(tmp_path: Path) -> None:
    config = train_config(max_steps=3, val_every=2, sample_every=1)
    callback = ReconstructionVideos(every=1, last_step=3)
    fit(tae_module(config, gan_weight=0.0), ToyClipData(3), config, tmp_path, callbacks=[callback])
    assert callback.pairs_BCTHW is not None
    original, reconstruction = callback.pairs_BCTHW.split(16, dim=4)
    assert torch.equal(original, ToyClips(0, 1)[0].pixels())
    assert not torch.equal(original, reconstruction)
    images = read_events(tmp_path).Images("reconstructions/00 original, reconstruction 0")
    assert [image.step for image in images] == [3]  # the first validation comes after step 2
    assert Image.open(io.BytesIO(images[0].encoded_image_string)).size == (32, 16)


def test_writing_is_left_out_of_the_throughput() -> None:
    metrics = MetricsCallback(1)
    trainer: Any = SimpleNamespace(is_global_zero=True, loggers=[], callbacks=[metrics])
    metrics._mark = 1.0
    write_videos(trainer, "samples", {}, 1, 8.0)
    assert metrics._mark == 0.0


def test_gif_keeps_frames_and_colors() -> None:
    video = torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
    video[0, 0], video[1, 1], video[2, 2] = 255, 255, 255
    image = Image.open(io.BytesIO(encode_gif(video, fps=10)))
    for index, color in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]):
        image.seek(index)
        assert image.convert("RGB").getpixel((4, 4)) == color
        assert image.info["duration"] == 100
