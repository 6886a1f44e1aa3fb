"""Patch discriminators: pictures one by one, or films (spec 1.2 leaves it open; both are switches).

Legend: B batch, C channels, T frames, H height, W width.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from src.models.config import DiscriminatorConfig


class Discriminator(nn.Module):
    """x_BCTHW in [-1, 1] to one logit for each patch, [B, 1, T', H', W'].

    Pix2pix's PatchGAN with group norm in place of batch norm: no state, and the same on any number of
    processes. The 3D kind halves time too, except in its first layer, and takes any T >= 1.
    """

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList()
        inputs, outputs = config.in_channels, config.width
        for i in range(config.layers + 1):
            stride = 2 if i < config.layers else 1
            self.layers.append(Layer(config, inputs, outputs, stride, norm=i > 0))
            inputs, outputs = outputs, min(2 * outputs, 8 * config.width)
        self.head = PatchConv(config, inputs, 1, 1, 1)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        B, T = x_BCTHW.shape[0], x_BCTHW.shape[2]
        frames_only = self.config.kind == "2d"
        h = x_BCTHW.transpose(1, 2).flatten(0, 1)[:, :, None] if frames_only else x_BCTHW
        for layer in self.layers:
            h = layer(h)
        logits = self.head(h)
        return logits.squeeze(2).unflatten(0, (B, T)).transpose(1, 2) if frames_only else logits


class PatchConv(nn.Conv3d):
    """4x4 convolution of pictures, or 3x4x4 of films with replicate padding in time."""

    def __init__(
        self, config: DiscriminatorConfig, inputs: int, outputs: int, stride: int, time_stride: int
    ) -> None:
        self.taps = 3 if config.kind == "3d" else 1
        super().__init__(inputs, outputs, (self.taps, 4, 4), (time_stride, stride, stride), (0, 1, 1))

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        if self.taps > 1:
            x_BCTHW = F.pad(x_BCTHW, (0, 0, 0, 0, 1, 1), mode="replicate")
        return super().forward(x_BCTHW)


class Layer(nn.Module):
    """Convolution, group norm, leaky rectifier."""

    def __init__(
        self, config: DiscriminatorConfig, inputs: int, outputs: int, stride: int, *, norm: bool
    ) -> None:
        super().__init__()
        time_stride = 2 if config.kind == "3d" and norm and stride > 1 else 1
        self.conv = PatchConv(config, inputs, outputs, stride, time_stride)
        groups = next(g for g in (32, 16, 8, 4, 2, 1) if outputs % g == 0)
        self.norm = nn.GroupNorm(groups, outputs) if norm else nn.Identity()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.conv(x_BCTHW)), 0.2)
