"""Training and validation of a flow-matching transformer of any medium (Movie Gen, sec. 3.1).

Legend: B batch, C channels, T frames, H height, W width (of the latent).
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from src.flow.noise import rand_samples, randn_samples
from src.flow.timesteps import times_from_normal
from src.models.text.config import ByteEncoderConfig, FrozenTextConfig
from src.models.transformer.config import TransformerConfig
from src.models.transformer.model import MediaTransformer
from src.streaming.batch import LatentBatch
from src.training.config import TrainConfig
from src.training.modules.base import TrainingModule
from src.training.modules.conditioning import TextCondition, TextConditioning
from src.training.modules.flow_config import FlowConfig
from src.training.modules.flow_model import FlowModel
from src.training.modules.optimization import BatchSize


class FlowModule(TrainingModule):
    """Trains a transformer and the networks of its conditions; keeps their EMA and the latents' statistics.

    Every random number is keyed by (seed, kind, step, index in the global batch): none depends on the number
    of processes or workers, on where a run was interrupted, or on validation.

    Args:
        encoders: frozen text encoders by name, whose embeddings the batches contain; if empty, a byte
            encoder is trained with the transformer.

    The latents' statistics are set before step 0 by `set_latent_statistics` and stored in the checkpoint.
    """

    has_token_shards = True
    scales_loss = True
    stream = "train"  # prefix of the names of its random draws: two media of one seed draw apart
    text: nn.Module
    transformer: MediaTransformer
    latent_mean_C: Tensor
    latent_std_C: Tensor

    def __init__(
        self,
        transformer: TransformerConfig,
        text: ByteEncoderConfig,
        flow: FlowConfig,
        train: TrainConfig,
        encoders: dict[str, FrozenTextConfig] | None = None,
    ) -> None:
        super().__init__(train)
        self.transformer_config, self.flow_config = transformer, flow
        self.conditioning = TextConditioning(text, encoders or {}, transformer.context_dim)
        self.register_buffer("latent_mean_C", torch.zeros(transformer.latent_channels))
        self.register_buffer("latent_std_C", torch.ones(transformer.latent_channels))

    @abstractmethod
    def model(self, *, ema: bool = False) -> FlowModel[Any]:
        """Return the networks (with `ema` their EMA) as a model that computes losses and can be sampled."""

    @abstractmethod
    def training_loss(self, batch: Any) -> Tensor:
        """Return the loss of each sample, float32 [B]."""

    @abstractmethod
    def validation_losses(self, batch: Any) -> dict[str, Tensor]:
        """Return losses of the EMA on a batch's real samples by name, float32 [B]."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.make_optimizer(*self.ema_networks)

    def set_latent_statistics(self, mean_C: Tensor, std_C: Tensor) -> None:
        """Set mean and standard deviation of each latent channel, from the data.

        Raises:
            ValueError: the number of channels is wrong, or a standard deviation is not positive and finite.
        """
        channels = self.transformer_config.latent_channels
        if mean_C.shape != (channels,) or std_C.shape != (channels,):
            raise ValueError(f"latent statistics have {len(mean_C)} channels, latent_channels is {channels}")
        if not bool((torch.isfinite(std_C) & (std_C > 0)).all()):
            raise ValueError(f"latent statistics: std must be positive and finite, got {std_C.tolist()}")
        self.latent_mean_C.copy_(mean_C)
        self.latent_std_C.copy_(std_C)

    def batch_size(self, batch: LatentBatch) -> BatchSize:
        patch = self.transformer_config.patch
        positions = sum(latent[0].numel() for latent in batch.mean_BCTHW)
        return BatchSize(len(batch), positions // (patch[0] * patch[1] * patch[2]))

    def training_step(self, batch: LatentBatch, batch_idx: int) -> None:
        assert batch.step == self.step, f"batch of step {batch.step} at step {self.step}"
        total = torch.zeros((), device=self.device)
        for part, weight in self.micro_batches(batch, *map(self.network, self.ema_networks)):
            loss = self.training_loss(part).mean() * weight
            self.manual_backward(self.scale_loss(loss))
            total += loss.detach()
        optimizer = cast(torch.optim.Optimizer, self.optimizers())
        result = self.apply_gradients(optimizer, total, batch.ids)
        self.metrics = {
            "loss": result.loss,
            "grad_norm": result.grad_norm,
            f"loss_{batch.stream}": result.loss,
        }
        self.advance_step()

    def validation_step(self, batch: LatentBatch, batch_idx: int) -> None:
        """Add the EMA's losses of a batch to the validation means."""
        for name, loss_B in self.validation_losses(batch).items():
            self.update_val_mean(name, loss_B)

    # ---- keyed draws for the samples of a batch

    def normal(self, batch: LatentBatch, name: str, shape: Sequence[int] = ()) -> Tensor:
        """Draw standard normal numbers from the stream of a name, [B, *shape]."""
        key = (self.train_config.seed, f"{self.stream}/{name}", batch.step, batch.global_indices)
        return randn_samples(shape, *key, self.device)

    def uniform(self, batch: LatentBatch, name: str, device: torch.device | str = "cpu") -> Tensor:
        """Draw numbers in [0, 1) from the stream of a name, [B]."""
        key = (self.train_config.seed, f"{self.stream}/{name}", batch.step, batch.global_indices)
        return rand_samples(*key, device)

    def prepare(self, batch: LatentBatch, model: FlowModel[Any]) -> tuple[Tensor, Tensor, Tensor]:
        """Return normalized latents, their noise and flow times, of a batch of one size."""
        assert isinstance(batch.mean_BCTHW, Tensor)
        c, shape = self.flow_config, tuple(batch.mean_BCTHW.shape[1:])
        latent = batch.mean_BCTHW
        if c.sample_posterior:
            latent = batch.sample(self.normal(batch, "posterior", shape))
        t_B = times_from_normal(self.normal(batch, "time"), c.time_distribution, c.time_mean, c.time_std)
        return model.normalize(latent), self.normal(batch, "noise", shape), t_B

    def text_with_dropout(self, batch: LatentBatch, drop_prob: float) -> TextCondition:
        """Return the batch's texts, some dropped, see `TextConditioning.with_dropout`."""
        return self.conditioning.with_dropout(
            batch, lambda name: self.uniform(batch, name), drop_prob, self.flow_config.encoder_drop_prob
        )
