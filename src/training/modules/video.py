"""Training and validation of the flow-matching video transformer (Movie Gen, sec. 3.1).

Legend: B batch, C channels, T frames, H height, W width (of the latent).
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from src.flow.noise import rand_samples, randn_samples
from src.flow.timesteps import times_from_normal
from src.models.text.config import ByteEncoderConfig, FrozenTextConfig
from src.models.transformer.config import TransformerConfig
from src.models.transformer.model import MediaTransformer
from src.streaming.batch import LatentBatch
from src.training.config import TrainConfig
from src.training.modules.base import BatchSize, TrainingModule
from src.training.modules.conditioning import TextCondition, TextConditioning
from src.training.modules.video_config import FlowConfig
from src.training.modules.video_model import VideoModel


class VideoModule(TrainingModule):
    """Trains a text network and a transformer, and keeps their EMA and the latents' statistics.

    Every random number is keyed by (seed, kind, step, index in the global batch): none depends on the number
    of processes or workers, on where a run was interrupted, or on validation.

    Args:
        encoders: frozen text encoders by name, whose embeddings the batches contain; if empty, a byte
            encoder is trained with the transformer.

    The latents' statistics are set before step 0 by `set_latent_statistics` and stored in the checkpoint.
    """

    ema_networks = ("text", "transformer")
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
        cond_channels = transformer.latent_channels + 1
        if flow.first_frame_prob and transformer.cond_channels != cond_channels:
            raise ValueError(
                f"flow.first_frame_prob needs transformer.cond_channels={cond_channels}, "
                f"got {transformer.cond_channels}"
            )
        self.transformer_config, self.flow_config = transformer, flow
        self.conditioning = TextConditioning(text, encoders or {}, transformer.context_dim)
        self.register_buffer("latent_mean_C", torch.zeros(transformer.latent_channels))
        self.register_buffer("latent_std_C", torch.ones(transformer.latent_channels))

    def networks(self) -> dict[str, Callable[[], nn.Module]]:
        return {
            "text": self.conditioning.make_network,
            "transformer": lambda: MediaTransformer(self.transformer_config),
        }

    def model(self, *, ema: bool = False) -> VideoModel:
        """Return the networks (with `ema` their EMA) as a model that computes losses and can be sampled."""
        return VideoModel(
            self.network("text", ema=ema),  # type: ignore[arg-type]
            cast(MediaTransformer, self.network("transformer", ema=ema)),
            self.conditioning,
            self.flow_config,
            self.latent_mean_C,
            self.latent_std_C,
            self.precision_name,
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.make_optimizer("text", "transformer")

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

    # ---- training

    def training_step(self, batch: LatentBatch, batch_idx: int) -> None:
        assert batch.step == self.step, f"batch of step {batch.step} at step {self.step}"
        total = torch.zeros((), device=self.device)
        for part, weight in self.micro_batches(batch, self.text, self.transformer):
            loss = self.training_loss(part).mean() * weight
            self.manual_backward(loss)
            total += loss.detach()
        optimizer = cast(torch.optim.Optimizer, self.optimizers())
        result = self.apply_gradients(optimizer, total, batch.ids)
        self.metrics = {
            "loss": result.loss,
            "grad_norm": result.grad_norm,
            f"loss_{batch.stream}": result.loss,
        }
        self.advance_step()

    def training_loss(self, batch: LatentBatch) -> Tensor:
        """Return the flow-matching loss of each sample, float32 [B]."""
        model, condition = self.model(), self._text_with_dropout(batch)
        if batch.packed:
            # each latent is prepared like a batch of one; only the transformer gets them together
            x, noise, t = zip(*(self._prepare(each, model) for each in batch.unpack()), strict=True)
            x_list, noise_list = ([item[0] for item in batch] for batch in (x, noise))
            return model.velocity_loss(x_list, noise_list, torch.cat(t), condition)
        c, cond = self.flow_config, None
        if c.first_frame_prob:
            uniform_B = rand_samples(
                self.train_config.seed, "train/first_frame", batch.step, batch.global_indices, self.device
            )
            cond = model.batch_frame_condition(batch, uniform_B < c.first_frame_prob)
        return model.velocity_loss(*self._prepare(batch, model), condition, cond)

    def _prepare(self, batch: LatentBatch, model: VideoModel) -> tuple[Tensor, Tensor, Tensor]:
        """Return normalized latents, their noise and flow times, of a batch of one size."""
        assert isinstance(batch.mean_BCTHW, Tensor)
        shape = tuple(batch.mean_BCTHW.shape[1:])

        def normal(stream: str, shape: tuple[int, ...] = shape) -> Tensor:
            key = (self.train_config.seed, stream, batch.step, batch.global_indices)
            return randn_samples(shape, *key, self.device)

        c = self.flow_config
        latent = batch.sample(normal("train/posterior")) if c.sample_posterior else batch.mean_BCTHW
        t_B = times_from_normal(normal("train/time", ()), c.time_distribution, c.time_mean, c.time_std)
        return model.normalize(latent), normal("train/noise"), t_B

    def _text_with_dropout(self, batch: LatentBatch) -> TextCondition:
        c = self.flow_config

        def uniform(stream: str) -> Tensor:
            return rand_samples(self.train_config.seed, f"train/{stream}", batch.step, batch.global_indices)

        return self.conditioning.with_dropout(batch, uniform, c.caption_drop_prob, c.encoder_drop_prob)

    # ---- validation

    def validation_step(self, batch: LatentBatch, batch_idx: int) -> None:
        """Add the EMA's losses of a batch to the validation means."""
        for name, loss_B in self.model(ema=True).validation_losses(batch).items():
            self.update_val_mean(name, loss_B)
