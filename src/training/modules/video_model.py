"""The video model in plain torch: networks, conditions and latent statistics, for training and for sampling.

Legend: B batch, C channels, T frames, H height, W width (of the latent).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from src.flow.loss import packed_velocity_loss, velocity_loss
from src.models.text.config import ByteEncoderConfig, FrozenTextConfig
from src.models.transformer.config import TransformerConfig
from src.models.transformer.model import MediaTransformer
from src.parallel.build import build_network
from src.parallel.fsdp import ParallelContext
from src.streaming.batch import LatentBatch, LatentOrList
from src.training.config import Precision
from src.training.modules.conditioning import TextCondition, TextConditioning, first_frames, frame_condition
from src.training.modules.flow_model import FlowModel, validation_noise
from src.training.modules.video_config import VideoFlowConfig


class VideoModel(FlowModel[VideoFlowConfig]):
    """A flow model of images and videos."""

    def frame_condition(
        self, first_BC1HW: Tensor | None, shape: Sequence[int], has_frame_B: Tensor
    ) -> Tensor:
        """Return the conditioning channels of first frames, given as the TAE encodes them."""
        normalized = None if first_BC1HW is None else self.normalize(first_BC1HW)
        return frame_condition(normalized, shape, has_frame_B)

    def batch_frame_condition(self, batch: LatentBatch, has_frame_B: Tensor) -> Tensor:
        """Return the conditioning channels of a batch; of images none is set.

        Args:
            has_frame_B: bool, the samples that are conditioned on their first frame.
        """
        assert isinstance(batch.mean_BCTHW, Tensor)
        return self.frame_condition(first_frames(batch), batch.mean_BCTHW.shape, has_frame_B)

    def velocity_loss(
        self,
        x_BCTHW: LatentOrList,
        noise_BCTHW: LatentOrList,
        t_B: Tensor,
        condition: TextCondition,
        cond_BCTHW: Tensor | None = None,
    ) -> Tensor:
        """Return the mean squared velocity error of each sample, float32 [B].

        Args:
            x_BCTHW: normalized latents; a list if their sizes differ.
            noise_BCTHW: standard normal noise of the same sizes.
            t_B: flow times in [0, 1]; 0 is noise.
            cond_BCTHW: conditioning channels (`frame_condition`).
        """
        objective = self.flow.objective
        with self.autocast():
            context = self.text.encode(condition)  # type: ignore[arg-type]  # its own kind of condition
            text = (context.tokens_BLD, context.mask_BL)
            if isinstance(x_BCTHW, list):
                assert isinstance(noise_BCTHW, list)
                assert cond_BCTHW is None, "packed videos have no conditioning channels"

                def packed_velocity(x: list[Tensor], t: Tensor) -> list[Tensor]:
                    return self.transformer.forward_packed(x, t, *text)

                return packed_velocity_loss(packed_velocity, x_BCTHW, noise_BCTHW, t_B, objective)
            assert isinstance(noise_BCTHW, Tensor)

            def velocity(x: Tensor, t: Tensor) -> Tensor:
                out: Tensor = self.transformer(x, t, *text, cond_BCTHW)
                return out

            return velocity_loss(velocity, x_BCTHW, noise_BCTHW, t_B, objective)

    def validation_losses(self, batch: LatentBatch) -> dict[str, Tensor]:
        """Return losses of a batch's real samples by name, float32 [B]: at each fixed time, and their mean.

        Noise is keyed by the sample's id and the index of the time.
        """
        assert isinstance(batch.mean_BCTHW, Tensor)
        real_B = batch.real_B.bool()
        x, condition, cond = self.normalize(batch.mean_BCTHW), self.conditioning.from_batch(batch), None
        if self.flow.first_frame_prob:
            cond = self.batch_frame_condition(batch, torch.ones_like(real_B))
        losses: dict[str, Tensor] = {}
        for index, time in enumerate(self.validation_times().tolist()):
            noise = validation_noise(x, batch.ids, index)
            t_B = torch.full((len(x),), time, device=x.device)
            losses[f"val/loss_t{time:.2f}"] = self.velocity_loss(x, noise, t_B, condition, cond)[real_B]
        mean_B = torch.stack(list(losses.values())).mean(0)
        kind = "val/loss_videos" if x.shape[2] > 1 else "val/loss_images"
        return {**losses, "val/loss": mean_B, kind: mean_B}


def build_video_model(
    transformer: TransformerConfig,
    text: ByteEncoderConfig,
    encoders: dict[str, FrozenTextConfig],
    flow: VideoFlowConfig,
    precision_name: Precision = "fp32",
    context: ParallelContext | None = None,
) -> VideoModel:
    """Build a model with initial weights; `load_state_dict` sets weights and statistics.

    Args:
        context: its place in a mesh; None: one process has all of it.
    """
    conditioning = TextConditioning(text, encoders, transformer.context_dim)
    context = context or ParallelContext()
    text_network = build_network(conditioning.make_network, 0, context)
    network = build_network(lambda: MediaTransformer(transformer), 0, context)
    channels = transformer.latent_channels
    return VideoModel(
        text_network,  # type: ignore[arg-type]
        network,  # type: ignore[arg-type]
        conditioning,
        flow,
        torch.zeros(channels),
        torch.ones(channels),
        precision_name,
    )
