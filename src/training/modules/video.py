"""Training and validation of the flow-matching video transformer (Movie Gen, sec. 3.1).

Legend: B batch, C channels, T frames, H height, W width (of the latent).
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from src.models.text.config import ByteEncoderConfig, FrozenTextConfig
from src.models.transformer.config import TransformerConfig
from src.models.transformer.model import MediaTransformer
from src.streaming.batch import LatentBatch
from src.training.config import TrainConfig
from src.training.modules.flow import FlowModule
from src.training.modules.video_config import VideoFlowConfig
from src.training.modules.video_model import VideoModel


class VideoModule(FlowModule):
    """Trains a text network and a transformer of images and videos."""

    ema_networks = ("text", "transformer")
    flow_config: VideoFlowConfig

    def __init__(
        self,
        transformer: TransformerConfig,
        text: ByteEncoderConfig,
        flow: VideoFlowConfig,
        train: TrainConfig,
        encoders: dict[str, FrozenTextConfig] | None = None,
    ) -> None:
        super().__init__(transformer, text, flow, train, encoders)
        cond_channels = transformer.latent_channels + 1
        if flow.first_frame_prob and transformer.cond_channels != cond_channels:
            raise ValueError(
                f"flow.first_frame_prob needs transformer.cond_channels={cond_channels}, "
                f"got {transformer.cond_channels}"
            )

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

    def validation_losses(self, batch: LatentBatch) -> dict[str, Tensor]:
        """Return losses of the EMA on a batch's real samples by name, float32 [B]."""
        return self.model(ema=True).validation_losses(batch)

    def training_loss(self, batch: LatentBatch) -> Tensor:
        """Return the flow-matching loss of each sample, float32 [B]."""
        model, condition = self.model(), self.text_with_dropout(batch, self.flow_config.caption_drop_prob)
        if batch.packed:
            # each latent is prepared like a batch of one; only the transformer gets them together
            x, noise, t = zip(*(self.prepare(each, model) for each in batch.unpack()), strict=True)
            x_list, noise_list = ([item[0] for item in batch] for batch in (x, noise))
            return model.velocity_loss(x_list, noise_list, torch.cat(t), condition)
        c, cond = self.flow_config, None
        if c.first_frame_prob:
            uniform_B = self.uniform(batch, "first_frame", self.device)
            cond = model.batch_frame_condition(batch, uniform_B < c.first_frame_prob)
        return model.velocity_loss(*self.prepare(batch, model), condition, cond)
