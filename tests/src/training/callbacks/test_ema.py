"""The EMA follows its formula, and checkpoints contain its current value."""

from pathlib import Path
from typing import Any

import lightning as L
import torch

from src.training.trainer import fit
from tests.fixtures.toy_modules import ToyData, state_of, train_config, video_module

NAME = "transformer.blocks.1.ffn.down.weight"


class Record(L.Callback):
    """Records the raw weights after every step, before other callbacks."""

    def __init__(self) -> None:
        self.weights: list[torch.Tensor] = []

    def on_train_start(self, trainer: L.Trainer, module: Any) -> None:
        self.weights.append(module.state_dict()[NAME].clone())

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, *rest: Any) -> None:
        self.weights.append(module.state_dict()[NAME].clone())


def test_ema_follows_its_recursion(tmp_path: Path) -> None:
    config = train_config(ema_decay=0.5, val_every=0)
    record = Record()
    fit(video_module(config), ToyData(10), config, tmp_path, callbacks=[record])
    ema = record.weights[0].double()
    at = {}
    for step, weight in enumerate(record.weights[1:], 1):
        decay = min(0.5, (1 + step) / (10 + step))
        ema = decay * ema + (1 - decay) * weight.double()
        at[step] = ema.float()
    for step in (4, 8, 10):
        saved = state_of(tmp_path / f"checkpoints/step-{step:08d}.ckpt")
        torch.testing.assert_close(saved[f"ema.{NAME}"], at[step], rtol=1e-5, atol=1e-6)
        assert torch.equal(saved[NAME], record.weights[step])


def test_without_ema(tmp_path: Path) -> None:
    config = train_config(ema_decay=0.0, max_steps=2, val_every=1)
    result = fit(video_module(config), ToyData(2), config, tmp_path)
    assert not any(name.startswith("ema.") for name in state_of(result.checkpoint))
    assert result.metrics["val/loss"] > 0
