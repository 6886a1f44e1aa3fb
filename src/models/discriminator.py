"""PatchGAN discriminators of single frames or of videos (the paper does not specify its own).

Legend: B batch, C channels, T frames, H height, W width.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from src.models.config import DiscriminatorConfig


class Discriminator(nn.Module):
    """Maps x_BCTHW in [-1, 1] to one logit per patch, [B, 1, T', H', W'].

    The PatchGAN of pix2pix with group norm instead of batch norm, which has no running statistics and is
    independent of the number of processes. The 3D kind also halves time, except in its first layer, and
    accepts any T >= 1.
    """

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList()
        in_channels, out_channels = config.in_channels, config.base_channels
        for i in range(config.num_layers + 1):
            stride = 2 if i < config.num_layers else 1
            self.layers.append(PatchLayer(config, in_channels, out_channels, stride, norm=i > 0))
            in_channels, out_channels = out_channels, min(2 * out_channels, 8 * config.base_channels)
        self.head = PatchConv(config, in_channels, 1, 1, 1)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        B, T = x_BCTHW.shape[0], x_BCTHW.shape[2]
        frames_only = self.config.kind == "2d"
        h = x_BCTHW.transpose(1, 2).flatten(0, 1)[:, :, None] if frames_only else x_BCTHW
        for layer in self.layers:
            h = layer(h)
        logits: Tensor = self.head(h)
        return logits.squeeze(2).unflatten(0, (B, T)).transpose(1, 2) if frames_only else logits


class PatchConv(nn.Conv3d):
    """4x4 convolution of frames, or 3x4x4 of videos with replicate padding in time."""

    def __init__(
        self, config: DiscriminatorConfig, in_channels: int, out_channels: int, stride: int, time_stride: int
    ) -> None:
        kernel_t = 3 if config.kind == "3d" else 1
        super().__init__(
            in_channels, out_channels, (kernel_t, 4, 4), (time_stride, stride, stride), (0, 1, 1)
        )

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        if self.kernel_size[0] > 1:
            x_BCTHW = F.pad(x_BCTHW, (0, 0, 0, 0, 1, 1), mode="replicate")
        return super().forward(x_BCTHW)


class PatchLayer(nn.Module):
    """Convolution, group norm, leaky ReLU."""

    def __init__(
        self, config: DiscriminatorConfig, in_channels: int, out_channels: int, stride: int, *, norm: bool
    ) -> None:
        super().__init__()
        time_stride = 2 if config.kind == "3d" and norm and stride > 1 else 1
        self.conv = PatchConv(config, in_channels, out_channels, stride, time_stride)
        groups = next(g for g in (32, 16, 8, 4, 2, 1) if out_channels % g == 0)
        self.norm = nn.GroupNorm(groups, out_channels) if norm else nn.Identity()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.conv(x_BCTHW)), 0.2)
