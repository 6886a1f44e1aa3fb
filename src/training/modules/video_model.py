"""The video model in plain torch: networks, conditions and latent statistics, for training and for sampling.

Legend: B batch, C channels, T frames, H height, W width (of the latent).
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from src.core import rng
from src.flow.loss import packed_velocity_loss, velocity_loss
from src.flow.noise import normal
from src.flow.timesteps import fixed_times, times_from_normal
from src.models.text.byte_encoder import ByteEncoder
from src.models.text.config import ByteEncoderConfig, FrozenTextConfig
from src.models.text.projection import ProjectedText
from src.models.transformer.config import TransformerConfig
from src.models.transformer.model import MediaTransformer
from src.parallel.build import build_network
from src.parallel.fsdp import ParallelContext
from src.streaming.batch import LatentBatch, LatentOrList
from src.training import precision
from src.training.config import Precision
from src.training.modules.conditioning import TextCondition, TextConditioning, first_frames, frame_condition
from src.training.modules.video_config import FlowConfig


class VideoModel(nn.Module):
    """Text network, transformer, latent statistics, and the settings of the flow that they were trained with.

    Args:
        latent_mean_C: mean of each latent channel over the training data.
        latent_std_C: standard deviation of each latent channel.
    """

    latent_mean_C: Tensor
    latent_std_C: Tensor

    def __init__(
        self,
        text: ByteEncoder | ProjectedText,
        transformer: MediaTransformer,
        conditioning: TextConditioning,
        flow: FlowConfig,
        latent_mean_C: Tensor,
        latent_std_C: Tensor,
        precision_name: Precision = "fp32",
    ) -> None:
        super().__init__()
        self.text, self.transformer = text, transformer
        self.conditioning, self.flow, self.precision_name = conditioning, flow, precision_name
        self.register_buffer("latent_mean_C", latent_mean_C)
        self.register_buffer("latent_std_C", latent_std_C)

    @property
    def device(self) -> torch.device:
        return self.latent_mean_C.device

    @property
    def config(self) -> TransformerConfig:
        return self.transformer.config

    def autocast(self) -> AbstractContextManager[None]:
        return precision.autocast(self.precision_name, self.device.type)

    def normalize(self, latent_BCTHW: Tensor) -> Tensor:
        """Scale latents to zero mean and unit standard deviation per channel."""
        return (latent_BCTHW - _per_channel(self.latent_mean_C)) / _per_channel(self.latent_std_C)

    def denormalize(self, x_BCTHW: Tensor) -> Tensor:
        """Scale back to the latents that the TAE decodes."""
        return x_BCTHW * _per_channel(self.latent_std_C) + _per_channel(self.latent_mean_C)

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

    def truncated(self, prompts: list[str]) -> list[bool]:
        """Return for each prompt whether it is longer than a text encoder reads."""
        if isinstance(self.text, ByteEncoder):
            return [self.text.is_truncated(prompt) for prompt in prompts]
        return self.conditioning.truncated(prompts)

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

    def validation_times(self) -> Tensor:
        """Return fixed flow times: the midpoints of equally likely intervals of the training distribution."""
        c = self.flow
        quantiles = fixed_times(c.num_val_times).double()
        return times_from_normal(
            torch.special.ndtri(quantiles), c.time_distribution, c.time_mean, c.time_std
        ).float()

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
    flow: FlowConfig,
    precision_name: Precision = "fp32",
) -> VideoModel:
    """Build a model on one process, with initial weights; `load_state_dict` sets weights and statistics."""
    conditioning = TextConditioning(text, encoders, transformer.context_dim)
    text_network = build_network(conditioning.make_network, 0, ParallelContext())
    network = build_network(lambda: MediaTransformer(transformer), 0, ParallelContext())
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


def validation_noise(x_BCTHW: Tensor, ids: list[str], time_index: int) -> Tensor:
    """Return noise of the shape of x, keyed by the samples' ids and the index of the flow time."""
    keys = [rng.key(0, f"val/noise/{name}", time_index) for name in ids]
    return normal(keys, x_BCTHW.shape[1:], x_BCTHW.device)


def _per_channel(value_C: Tensor) -> Tensor:
    return value_C[None, :, None, None, None]
