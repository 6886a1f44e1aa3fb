"""The encoder: pixels to the two halves (mean, log-variance) of the posterior's parameters.

Legend: T frames, B batch, C channels, H height, W width.
"""

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from src.models.tae.blocks import Down, Middle, ResBlock, conv
from src.models.tae.config import TAEConfig
from src.models.tae.layers import build_norm, fold_time, silu, unfold_time


class Encoder(nn.Module):
    """x_TBCHW pixels to x_TBCHW with 2 * latent_channels at latent size."""

    def __init__(self, config: TAEConfig) -> None:
        super().__init__()
        self.patch, self.checkpoint = config.patch, config.checkpoint
        widths, last = config.widths, len(config.widths) - 1
        self.conv_in = conv(config, config.in_channels * config.patch**2, widths[0])
        self.levels = nn.ModuleList()
        for i, width in enumerate(widths):
            blocks: list[nn.Module] = []
            inputs = widths[max(i - 1, 0)]
            if i:
                time, space = config.temporal_down[i - 1], config.spatial_down[i - 1]
                # Latent Diffusion widens in the next block, a shortcut where values are folded.
                outputs = width if config.shortcuts else inputs
                blocks.append(Down(config, inputs, outputs, time=time, space=space))
                inputs = outputs
            blocks += [
                ResBlock(config, inputs if j == 0 else width, width) for j in range(config.blocks_encoder[i])
            ]
            self.levels.append(nn.Sequential(*blocks))
        self.middle = Middle(config, widths[last])
        self.norm_out = build_norm(widths[last], config.norm, config.norm_groups)
        self.conv_out = conv(config, widths[last], 2 * config.latent_channels)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        if self.patch > 1:
            x_TBCHW = unfold_time(F.pixel_unshuffle(fold_time(x_TBCHW), self.patch), len(x_TBCHW))
        h_TBCHW = self.conv_in(x_TBCHW)
        for level in self.levels:
            recompute = self.checkpoint and self.training
            h_TBCHW = checkpoint(level, h_TBCHW, use_reentrant=False) if recompute else level(h_TBCHW)
        return self.conv_out(silu(self.norm_out(self.middle(h_TBCHW))))
