"""Training and validation of the audio model (Movie Gen, sec. 6.1): masked audio prediction.

Legend: B batch, C channels, N latent frames ([B, C, N, 1, 1] in the transformer), T frames, H height, W
    width.
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from src.flow.masking import draw_known
from src.models.text.config import ByteEncoderConfig, FrozenTextConfig
from src.models.transformer.config import TransformerConfig
from src.models.transformer.model import MediaTransformer
from src.models.vision.config import VideoConditionConfig
from src.models.vision.video_condition import VideoCondition
from src.parallel.tensor_parallel import divide_gradient
from src.streaming.batch import AudioLatentBatch
from src.training.config import TrainConfig
from src.training.modules.audio_config import AudioFlowConfig, ModeConfig
from src.training.modules.audio_model import AudioModel, make_video_network, with_frames
from src.training.modules.conditioning import TextCondition
from src.training.modules.flow import FlowModule

MASK_DRAWS = ("mask", "mask_kind", "mask_fraction", "mask_place")


class AudioModule(FlowModule):
    """Trains a text network, a video network and the shared transformer on audio latents.

    Its random draws have names of their own, so that a video and an audio model of one seed see independent
    flow times and noise (one time for both would show neither of them its own schedule).
    """

    stream = "train/audio"
    flow_config: AudioFlowConfig
    video: VideoCondition

    def __init__(
        self,
        transformer: TransformerConfig,
        text: ByteEncoderConfig,
        video: VideoConditionConfig,
        flow: AudioFlowConfig,
        train: TrainConfig,
        latent_rate: float,
        modes: dict[str, ModeConfig] | None = None,
        encoders: dict[str, FrozenTextConfig] | None = None,
    ) -> None:
        super().__init__(transformer, text, flow, train, encoders)
        self.video_config, self.latent_rate, self.modes = video, latent_rate, modes or {}

    @property
    def ema_networks(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(self.networks())

    def networks(self) -> dict[str, Callable[[], nn.Module]]:
        found: dict[str, Callable[[], nn.Module]] = {
            "text": self.conditioning.make_network,
            "transformer": lambda: MediaTransformer(self.transformer_config),
        }
        if self.video_config.source != "none":
            found["video"] = lambda: make_video_network(
                self.video_config, self.transformer_config, self.flow_config
            )
        return found

    def model(self, *, ema: bool = False) -> AudioModel:
        """Return the networks (with `ema` their EMA) as a model that computes losses and can be sampled."""
        has_video = self.video_config.source != "none"
        return AudioModel(
            self.network("text", ema=ema),  # type: ignore[arg-type]
            cast(MediaTransformer, self.network("transformer", ema=ema)),
            cast(VideoCondition, self.network("video", ema=ema)) if has_video else None,
            self.conditioning,
            self.flow_config,
            self.latent_mean_C,
            self.latent_std_C,
            self.latent_rate,
            self.modes,
            self.precision_name,
        )

    def validation_losses(self, batch: AudioLatentBatch) -> dict[str, Tensor]:
        """Return losses of the EMA on a batch's real samples by name, float32 [B]."""
        return self.model(ema=True).validation_losses(batch)

    def training_loss(self, batch: AudioLatentBatch) -> Tensor:
        """Return the flow-matching loss of each sample, plus the side loss where it has a weight; float32
        [B].
        """
        c, model = self.flow_config, self.model()
        x, noise, t_B = self.prepare(batch, model)
        joint_B = self.uniform(batch, "joint_drop") < c.joint_drop_prob
        draws_4B = torch.stack([self.uniform(batch, name) for name in MASK_DRAWS])
        known_BN = draw_known(
            draws_4B,
            x.shape[2],
            full_mask_prob=c.full_mask_prob,
            min_mask_fraction=c.min_mask_fraction,
            kinds=c.context_kinds,
        )
        known_BN = (known_BN & ~joint_B[:, None]).to(x.device)
        video_BND, side_loss_B = self._video(batch, model, joint_B, x)
        condition = self._text(batch, joint_B)
        loss_B = model.velocity_loss(x, noise, t_B, condition, known_BN, video_BND)
        return loss_B if side_loss_B is None else loss_B + c.video_latent_weight * side_loss_B

    def _text(self, batch: AudioLatentBatch, joint_B: Tensor) -> TextCondition:
        """Return the texts of a batch, dropped together with the other conditions or alone."""
        alone_B = self.uniform(batch, "text_drop") < self.flow_config.text_drop_prob
        uniform_B = (~(joint_B | alone_B)).float()  # 0 where the text is dropped
        return self.conditioning.with_dropout(
            batch,
            lambda name: uniform_B if name == "caption_drop" else self.uniform(batch, name),
            0.5,
            self.flow_config.encoder_drop_prob,
        )

    def _video(
        self, batch: AudioLatentBatch, model: AudioModel, joint_B: Tensor, x: Tensor
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return the features of the videos that are not dropped, and the side loss [B] where it has a
        weight.
        """
        c, clips = self.flow_config, model.clips(batch)
        if clips is None:
            return None, None
        if clips.frames_BTCHW is not None and c.frame_augmentation != "none":
            clips = with_frames(clips, self._augment(batch, clips.frames_BTCHW))
        dropped_B = joint_B | (self.uniform(batch, "video_drop") < c.video_drop_prob)
        with self.autocast():
            video_BND, shown_BN, latent_BCN = self.video(clips, x.shape[2], self.latent_rate)
        video_BND = video_BND * (~dropped_B).to(x.device)[:, None, None]
        if latent_BCN is None:
            return video_BND, None
        square_BN = (latent_BCN.float() - x[..., 0, 0]).square().mean(1) * shown_BN
        side_loss_B = square_BN.sum(1) / shown_BN.sum(1).clamp_min(1)
        # the video network sees all latents on every process
        return video_BND, divide_gradient(side_loss_B, None if self._mesh is None else self._mesh.tensor)

    def _augment(self, batch: AudioLatentBatch, frames_BTCHW: Tensor) -> Tensor:
        """Return frames mirrored, and square ones transposed, each with probability 1/2; keyed by sample."""
        draws = {
            name: self.uniform(batch, f"frames/{name}") < 0.5 for name in ("rows", "columns", "transpose")
        }
        out = frames_BTCHW.clone()
        height, width = frames_BTCHW.shape[3:]
        for i in range(len(out)):
            axes = [axis for axis, name in ((2, "rows"), (3, "columns")) if draws[name][i]]
            if axes:
                out[i] = out[i].flip(axes)
            can_transpose = self.flow_config.frame_augmentation == "transpositions" and height == width
            if can_transpose and draws["transpose"][i]:
                out[i] = out[i].transpose(2, 3).clone()
        return out
