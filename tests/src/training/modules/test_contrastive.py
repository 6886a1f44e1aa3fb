"""The contrastive module learns to tell matching audio and videos from others."""

import pytest
import torch

from src.core.errors import UserError
from src.models.contrastive.config import ContrastiveConfig
from src.models.text.config import ByteEncoderConfig
from src.models.vision.config import VideoConditionConfig
from src.training.modules.contrastive import ContrastiveModule
from tests.fixtures.toy_audio import make_batch
from tests.fixtures.toy_modules import train_config

MODEL = ContrastiveConfig(
    latent_channels=2, hidden_size=16, num_audio_blocks=1, joint_dim=8, num_segments=4,
    text=ByteEncoderConfig(hidden_size=16, depth=1, num_heads=2, ffn_dim=16),
    video=VideoConditionConfig(height=16, width=16, channels=4, hidden_size=8, num_temporal_blocks=1),
)  # fmt: skip


def built(**settings: object) -> ContrastiveModule:
    module = ContrastiveModule(MODEL, train_config(**settings))
    module.configure_model()
    return module


def mean_loss(module: ContrastiveModule) -> torch.Tensor:
    batch = make_batch()
    losses = module._losses(batch, module.similarities(batch), module.contrastive)
    return torch.stack([each.mean() for each in losses.values()]).mean()


def test_every_tower_learns() -> None:
    module = built()
    optimizer = torch.optim.AdamW(module.contrastive.parameters(), lr=1e-2)
    before = float(mean_loss(module).detach())
    for _ in range(40):
        optimizer.zero_grad()
        loss = mean_loss(module)
        loss.backward()
        optimizer.step()
    assert all(p.grad is not None for p in module.contrastive.parameters())
    assert float(loss.detach()) < before - 0.5


def test_validation_reports_recall_and_chance() -> None:
    module = built()
    module.on_validation_epoch_start()
    batch = make_batch(6)
    batch.real_B[5] = False
    module.validation_step(batch, 0)
    module.on_validation_epoch_end()
    names = {
        f"val/recall_{a}_to_{b}"
        for a in ("audio", "video", "text")
        for b in ("audio", "video", "text")
        if a != b
    }
    assert names | {"val/loss", "val/recall_chance"} == set(module.val_metrics)
    assert module.val_metrics["val/recall_chance"] == pytest.approx(0.2)  # of five real samples


def test_what_it_cannot_train_on_is_refused() -> None:
    with pytest.raises(UserError, match="num_micro_batches must be 1"):
        ContrastiveModule(MODEL, train_config(num_micro_batches=2))
    with pytest.raises(UserError, match="no frames of videos"):
        built().similarities(make_batch(with_video=False))
    with pytest.raises(UserError, match=r"3 channels, model\.latent_channels=2"):
        built().set_latent_statistics(torch.zeros(3), torch.ones(3))
