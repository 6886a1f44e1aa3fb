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
        channels, last = config.resolved_decoder_channels, len(config.channels) - 1
        self.conv_in = build_conv(config, config.latent_channels, channels[last])
        self.mid = MidLevel(config, channels[last])
        self.levels = nn.ModuleList()
        in_channels = channels[last]
        for i in reversed(range(len(channels))):
            level_channels, num_blocks = channels[i], config.resolved_decoder_blocks
            blocks: list[nn.Module] = [
                ResBlock(config, in_channels if j == 0 else level_channels, level_channels)
                for j in range(num_blocks)
            ]
            in_channels = level_channels
            if i:
                time, space = config.temporal_down[i - 1], config.spatial_down[i - 1]
                in_channels = channels[i - 1] if config.shortcuts else level_channels
                blocks.append(Up(config, level_channels, in_channels, time=time, space=space))
            self.levels.append(nn.Sequential(*blocks))
        self.norm_out = build_norm(channels[0], config.norm, config.num_norm_groups)
        self.conv_out = build_conv(config, channels[0], config.in_channels * config.patch**2)

    def forward(self, z_TBCHW: Tensor) -> Tensor:
        h_TBCHW = self.mid(self.conv_in(z_TBCHW))
        for level in self.levels:
            recompute = self.checkpoint and self.training
            h_TBCHW = checkpoint(level, h_TBCHW, use_reentrant=False) if recompute else level(h_TBCHW)
        y_TBCHW: Tensor = self.conv_out(silu_(self.norm_out(h_TBCHW)))
        if self.patch > 1:
            y_TBCHW = unfold_time(F.pixel_shuffle(fold_time(y_TBCHW), self.patch), len(y_TBCHW))
        return y_TBCHW
