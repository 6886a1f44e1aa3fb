"""The decoder, from latents to pixels.

Legend: T frames, B batch, C channels, H height, W width.
"""

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from src.models.tae.blocks import MidLevel, ResBlock, Up, build_conv
from src.models.tae.config import TAEConfig
from src.models.tae.layers import build_norm, fold_time, silu_, unfold_time


class Decoder(nn.Module):
    """Maps x_TBCHW latents to x_TBCHW pixels, `temporal_factor` frames per latent frame."""

    def __init__(self, config: TAEConfig) -> None:
        super().__init__()
        self.patch, self.checkpoint = config.patch, config.checkpoint
        widths, last = config.widths_decoder, len(config.widths) - 1
        self.conv_in = build_conv(config, config.latent_channels, widths[last])
        self.middle = MidLevel(config, widths[last])
        self.levels = nn.ModuleList()
        in_channels = widths[last]
        for i in reversed(range(len(widths))):
            width, num_blocks = widths[i], config.blocks_decoder
            blocks: list[nn.Module] = [
                ResBlock(config, in_channels if j == 0 else width, width) for j in range(num_blocks)
            ]
            in_channels = width
            if i:
                time, space = config.temporal_down[i - 1], config.spatial_down[i - 1]
                in_channels = widths[i - 1] if config.shortcuts else width
                blocks.append(Up(config, width, in_channels, time=time, space=space))
            self.levels.append(nn.Sequential(*blocks))
        self.norm_out = build_norm(widths[0], config.norm, config.norm_groups)
        self.conv_out = build_conv(config, widths[0], config.in_channels * config.patch**2)

    def forward(self, z_TBCHW: Tensor) -> Tensor:
        h_TBCHW = self.middle(self.conv_in(z_TBCHW))
        for level in self.levels:
            recompute = self.checkpoint and self.training
            h_TBCHW = checkpoint(level, h_TBCHW, use_reentrant=False) if recompute else level(h_TBCHW)
        y_TBCHW: Tensor = self.conv_out(silu_(self.norm_out(h_TBCHW)))
        if self.patch > 1:
            y_TBCHW = unfold_time(F.pixel_shuffle(fold_time(y_TBCHW), self.patch), len(y_TBCHW))
        return y_TBCHW
