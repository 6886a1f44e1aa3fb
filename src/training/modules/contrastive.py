"""Training and validation of the contrastive audio-video-text model (the paper's CAVTP; Movie Gen, sec. 6.2).

Legend: B batch, C channels, L latent frames, T frames, H height, W width.
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from src.core.errors import UserError
from src.losses.contrastive import contrastive_loss, recall_at_1
from src.models.contrastive.config import ContrastiveConfig
from src.models.contrastive.model import PAIRS, ContrastiveModel
from src.streaming.batch import AudioLatentBatch
from src.streaming.pixels import from_uint8
from src.training.config import TrainConfig
from src.training.modules.base import TrainingModule
from src.training.modules.optimization import BatchSize


class ContrastiveModule(TrainingModule):
    """Trains the three towers; negatives are the other samples of this process's batch."""

    ema_networks = ("contrastive",)
    scales_loss = True
    contrastive: ContrastiveModel
    latent_mean_C: Tensor
    latent_std_C: Tensor

    def __init__(self, model: ContrastiveConfig, train: TrainConfig) -> None:
        super().__init__(train)
        if train.num_micro_batches > 1:
            raise UserError("train.num_micro_batches must be 1: the negatives of a sample are in its batch")
        self.model_config = model
        self.register_buffer("latent_mean_C", torch.zeros(model.latent_channels))
        self.register_buffer("latent_std_C", torch.ones(model.latent_channels))

    def networks(self) -> dict[str, Callable[[], nn.Module]]:
        return {"contrastive": lambda: ContrastiveModel(self.model_config)}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.make_optimizer("contrastive")

    def set_latent_statistics(self, mean_C: Tensor, std_C: Tensor) -> None:
        """Set mean and standard deviation of each latent channel, from the data.

        Raises:
            UserError: the number of channels is not the model's.
        """
        if len(mean_C) != self.model_config.latent_channels:
            raise UserError(
                f"the latents have {len(mean_C)} channels, "
                f"model.latent_channels={self.model_config.latent_channels}"
            )
        self.latent_mean_C.copy_(mean_C)
        self.latent_std_C.copy_(std_C)

    def batch_size(self, batch: AudioLatentBatch) -> BatchSize:
        return BatchSize(len(batch), sum(latent.shape[1] for latent in batch.mean_BCTHW))

    def similarities(self, batch: AudioLatentBatch, *, ema: bool = False) -> dict[tuple[str, str], Tensor]:
        """Return the cosines of a batch's media, by pair."""
        assert isinstance(batch.mean_BCTHW, Tensor)
        if batch.frames_BTCHW is None:
            raise UserError(f"stream {batch.stream}: the latents have no frames of videos")
        model = cast(ContrastiveModel, self.network("contrastive", ema=ema))
        latent_BCL = batch.mean_BCTHW[..., 0, 0]
        latent_BCL = (latent_BCL - self.latent_mean_C[:, None]) / self.latent_std_C[:, None]
        with self.autocast():
            return model.similarities(latent_BCL, from_uint8(batch.frames_BTCHW), batch.captions)

    def training_step(self, batch: AudioLatentBatch, batch_idx: int) -> None:
        assert batch.step == self.step, f"batch of step {batch.step} at step {self.step}"
        losses = self._losses(batch, self.similarities(batch), self.contrastive)
        loss = torch.stack([each.mean() for each in losses.values()]).mean() * batch.loss_weight
        self.manual_backward(self.scale_loss(loss))
        optimizer = cast(torch.optim.Optimizer, self.optimizers())
        result = self.apply_gradients(optimizer, loss.detach(), batch.ids)
        self.metrics = {"loss": result.loss, "grad_norm": result.grad_norm}
        self.device_metrics = {
            f"loss_{first}_{second}": each.detach().mean() for (first, second), each in losses.items()
        }
        self.advance_step()

    @staticmethod
    def _losses(
        batch: AudioLatentBatch, cosines: dict[tuple[str, str], Tensor], model: ContrastiveModel
    ) -> dict[tuple[str, str], Tensor]:
        """Return the loss of each pair of media, [B]; clips of one caption are no negatives for texts."""
        captions = batch.captions
        same_BB = torch.tensor([[a == b for b in captions] for a in captions], device=batch.real_B.device)
        return {
            pair: contrastive_loss(cosines[pair], scale, same_BB if "text" in pair else None)
            for pair, scale in zip(PAIRS, model.scales(), strict=True)
        }

    def validation_step(self, batch: AudioLatentBatch, batch_idx: int) -> None:
        """Add losses, and recall at 1 among the batch both ways: with 100 samples chance is 0.01."""
        real = batch.take([i for i, is_real in enumerate(batch.real_B.tolist()) if is_real])
        cosines = self.similarities(real, ema=True)
        model = cast(ContrastiveModel, self.network("contrastive", ema=True))
        losses = self._losses(real, cosines, model)
        self.update_val_mean("val/loss", torch.stack(list(losses.values())).mean(0))
        for (first, second), cosine_BB in cosines.items():
            there_B, back_B = recall_at_1(cosine_BB)
            self.update_val_mean(f"val/recall_{first}_to_{second}", there_B)
            self.update_val_mean(f"val/recall_{second}_to_{first}", back_B)
        self.update_val_mean("val/recall_chance", torch.full((len(real),), 1 / len(real), device=self.device))
