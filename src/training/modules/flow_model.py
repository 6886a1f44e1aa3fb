"""Parts of a flow model of any medium: networks, latent statistics, precision, validation times.

Legend: B batch, C channels, T frames, H height, W width (of the latent).
"""

from contextlib import AbstractContextManager
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from src.core import rng
from src.flow.noise import normal
from src.flow.timesteps import fixed_times, times_from_normal
from src.models.text.byte_encoder import ByteEncoder
from src.models.text.projection import ProjectedText
from src.models.transformer.config import TransformerConfig
from src.models.transformer.model import MediaTransformer
from src.training import precision
from src.training.config import Precision
from src.training.modules.conditioning import TextConditioning
from src.training.modules.flow_config import FlowConfig

AnyFlow = TypeVar("AnyFlow", bound=FlowConfig)


class FlowModel(nn.Module, Generic[AnyFlow]):
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
        flow: AnyFlow,
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
        """Scale back to the latents that the TAE or codec decodes."""
        return x_BCTHW * _per_channel(self.latent_std_C) + _per_channel(self.latent_mean_C)

    def truncated(self, prompts: list[str]) -> list[bool]:
        """Return for each prompt whether it is longer than a text encoder reads."""
        if isinstance(self.text, ByteEncoder):
            return [self.text.is_truncated(prompt) for prompt in prompts]
        return self.conditioning.truncated(prompts)

    def validation_times(self) -> Tensor:
        """Return fixed flow times: the midpoints of equally likely intervals of the training distribution."""
        c = self.flow
        quantiles = fixed_times(c.num_val_times).double()
        return times_from_normal(
            torch.special.ndtri(quantiles), c.time_distribution, c.time_mean, c.time_std
        ).float()


def validation_noise(x_BCTHW: Tensor, ids: list[str], time_index: int) -> Tensor:
    """Return noise of the shape of x, keyed by the samples' ids and the index of the flow time."""
    keys = [rng.key(0, f"val/noise/{name}", time_index) for name in ids]
    return normal(keys, x_BCTHW.shape[1:], x_BCTHW.device)


def _per_channel(value_C: Tensor) -> Tensor:
    return value_C[None, :, None, None, None]
