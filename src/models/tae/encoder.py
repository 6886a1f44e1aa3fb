"""The encoder, from pixels to mean and log-variance of the posterior.

Legend: T frames, B batch, C channels, H height, W width.
"""

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from src.models.tae.blocks import Down, MidLevel, ResBlock, build_conv
from src.models.tae.config import TAEConfig
from src.models.tae.layers import build_norm, fold_time, silu_, unfold_time


class Encoder(nn.Module):
    """Maps x_TBCHW pixels to x_TBCHW moments of latent size with 2 * latent_channels."""

    def __init__(self, config: TAEConfig) -> None:
        super().__init__()
        self.patch, self.checkpoint = config.patch, config.checkpoint
        channels, last = config.channels, len(config.channels) - 1
        self.conv_in = build_conv(config, config.in_channels * config.patch**2, channels[0])
        self.levels = nn.ModuleList()
        for i, level_channels in enumerate(channels):
            blocks: list[nn.Module] = []
            in_channels = channels[max(i - 1, 0)]
            if i:
                time, space = config.temporal_down[i - 1], config.spatial_down[i - 1]
                # Latent Diffusion changes the channels in the next block; a shortcut folds to the new number.
                out_channels = level_channels if config.shortcuts else in_channels
                blocks.append(Down(config, in_channels, out_channels, time=time, space=space))
                in_channels = out_channels
            blocks += [
                ResBlock(config, in_channels if j == 0 else level_channels, level_channels)
                for j in range(config.resolved_encoder_blocks[i])
            ]
            self.levels.append(nn.Sequential(*blocks))
        self.mid = MidLevel(config, channels[last])
        self.norm_out = build_norm(channels[last], config.norm, config.num_norm_groups)
        self.conv_out = build_conv(config, channels[last], 2 * config.latent_channels)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        if self.patch > 1:
            x_TBCHW = unfold_time(F.pixel_unshuffle(fold_time(x_TBCHW), self.patch), len(x_TBCHW))
        h_TBCHW = self.conv_in(x_TBCHW)
        for level in self.levels:
            recompute = self.checkpoint and self.training
            h_TBCHW = checkpoint(level, h_TBCHW, use_reentrant=False) if recompute else level(h_TBCHW)
        moments_TBCHW: Tensor = self.conv_out(silu_(self.norm_out(self.mid(h_TBCHW))))
        return moments_TBCHW
