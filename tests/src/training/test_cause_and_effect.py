"""Effects of training on weights and samples: what must change and what must not."""

from pathlib import Path

import pytest
import torch

from src.flow.noise import torch_generator
from src.inference.sample import sample_latents
from src.parallel import checkpoint_io
from src.training.checkpoint_paths import last_checkpoint
from src.training.modules.video import VideoModule
from src.training.trainer import fit
from tests.fixtures.toy_modules import ToyData, ToyLatents, state_of, train_config, video_module

SHAPE = (4, 2, 4, 4)


def trained(run_dir: Path, lr: float, steps: int = 4) -> VideoModule:
    config = train_config(lr=lr, max_steps=steps, checkpoint_every=2, val_every=0, ema_decay=0.0)
    module = video_module(config)
    fit(module, ToyData(steps, validation=False), config, run_dir)
    return module.eval()


def untrained() -> VideoModule:
    module = video_module(train_config(ema_decay=0.0))
    module.configure_model()
    return module.eval()


@pytest.fixture(scope="module")
def diverged(tmp_path_factory: pytest.TempPathFactory) -> tuple[VideoModule, Path]:
    path = tmp_path_factory.mktemp("diverged")
    return trained(path, lr=1.0), path


def test_zero_learning_rate_keeps_every_bit(tmp_path: Path) -> None:
    trained(tmp_path, lr=0.0)
    path = last_checkpoint(tmp_path)
    assert path is not None
    saved, start = state_of(path), untrained().state_dict()
    names = [n for n in start if n.startswith(("transformer.", "text."))]
    assert names
    assert all(torch.equal(saved[n], start[n]) for n in names)


def test_huge_learning_rate_changes_samples(diverged: tuple[VideoModule, Path]) -> None:
    before, after = (
        sample_latents(m.model(ema=True), ["a star"], SHAPE, [1]) for m in (untrained(), diverged[0])
    )
    assert (before - after).abs().mean() > 0.1


def test_loaded_weights_give_the_same_samples(diverged: tuple[VideoModule, Path]) -> None:
    module, run_dir = diverged
    path = last_checkpoint(run_dir)
    assert path is not None
    loaded = untrained()
    loaded.load_state_dict(checkpoint_io.read_checkpoint(path)["state_dict"])
    ours, theirs = (sample_latents(m.model(), ["a star"], SHAPE, [1]) for m in (loaded, module))
    assert torch.equal(ours, theirs)


def test_shuffled_captions_change_the_loss() -> None:
    module, batch = untrained(), ToyLatents(0, 1)[0]
    with torch.no_grad():
        for parameter in module.transformer.parameters():  # parts that start at zero would hide the condition
            parameter.add_(torch.randn(parameter.shape, generator=torch_generator(0, "test.open")), alpha=0.1)
    right = module.training_loss(batch)
    assert torch.equal(module.training_loss(batch), right)
    batch.captions = batch.captions[1:] + batch.captions[:1]
    assert not torch.allclose(module.training_loss(batch), right, rtol=1e-3)


def test_older_checkpoints_are_not_rewritten(diverged: tuple[VideoModule, Path]) -> None:
    _, run_dir = diverged
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in run_dir.glob("checkpoints/step-*.ckpt")}
    assert len(before) == 2
    trained(run_dir, lr=1.0, steps=5)
    assert len(list(run_dir.glob("checkpoints/step-*.ckpt"))) == 3
    assert all((p.read_bytes(), p.stat().st_mtime_ns) == was for p, was in before.items())
