"""What training must and must not change, from weights to samples."""

from pathlib import Path

import pytest
import torch

from src.flow.noise import torch_generator
from src.parallel import checkpoint_io
from src.training.callbacks.checkpoint import last_checkpoint
from src.training.modules.video import VideoModule
from src.training.trainer import fit
from tests.fixtures.toy_modules import ToyData, ToyLatents, state_of, train_config, video_module

SHAPE = (4, 2, 4, 4)


def trained(run_dir: Path, lr: float, steps: int = 4) -> VideoModule:
    config = train_config(lr=lr, max_steps=steps, checkpoint_every=2, val_every=0, ema_decay=0.0)
    module = video_module(config)
    fit(module, ToyData(steps, validation=False), config, run_dir)
    return module.eval()


def fresh() -> VideoModule:
    module = video_module(train_config(ema_decay=0.0))
    module.configure_model()
    return module.eval()


@pytest.fixture(scope="module")
def wild(tmp_path_factory: pytest.TempPathFactory) -> tuple[VideoModule, Path]:
    path = tmp_path_factory.mktemp("wild")
    return trained(path, lr=1.0), path


def test_a_learning_rate_of_zero_leaves_every_bit(tmp_path: Path) -> None:
    trained(tmp_path, lr=0.0)
    path = last_checkpoint(tmp_path)
    assert path is not None
    saved, start = state_of(path), fresh().state_dict()
    names = [n for n in start if n.startswith(("transformer.", "text."))]
    assert names
    assert all(torch.equal(saved[n], start[n]) for n in names)


def test_a_huge_learning_rate_changes_the_samples(wild: tuple[VideoModule, Path]) -> None:
    before, after = (m.generate(["a star"], SHAPE, [1]) for m in (fresh(), wild[0]))
    assert (before - after).abs().mean() > 0.1


def test_what_was_saved_is_what_is_sampled(wild: tuple[VideoModule, Path]) -> None:
    module, run_dir = wild
    path = last_checkpoint(run_dir)
    assert path is not None
    loaded = fresh()
    loaded.load_state_dict(checkpoint_io.read_checkpoint(path)["state_dict"])
    assert torch.equal(loaded.generate(["a star"], SHAPE, [1]), module.generate(["a star"], SHAPE, [1]))


def test_shuffled_captions_change_the_loss() -> None:
    module, batch = fresh(), ToyLatents(0, 1)[0]
    with torch.no_grad():
        for parameter in module.transformer.parameters():  # opens what starts closed
            parameter.add_(torch.randn(parameter.shape, generator=torch_generator(0, "test.open")), alpha=0.1)
    right = module.training_loss(batch)
    assert torch.equal(module.training_loss(batch), right)
    batch.captions = batch.captions[1:] + batch.captions[:1]
    assert not torch.allclose(module.training_loss(batch), right, rtol=1e-3)


def test_older_checkpoints_stay_as_they_were_written(wild: tuple[VideoModule, Path]) -> None:
    _, run_dir = wild
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in run_dir.glob("checkpoints/step-*.ckpt")}
    assert len(before) == 2
    trained(run_dir, lr=1.0, steps=5)
    assert len(list(run_dir.glob("checkpoints/step-*.ckpt"))) == 3
    assert all((p.read_bytes(), p.stat().st_mtime_ns) == was for p, was in before.items())
