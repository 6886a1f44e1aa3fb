"""Perceptual distance of two videos, frame by frame, as in LPIPS.

Legend: N frames of all videos, C channels, H height, W width; K feature channels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PerceptualLoss(nn.Module):
    """Squared distance of unit-length features at several depths, averaged over positions and frames.

    Args:
        features: any module from x_NCHW in [-1, 1] to a sequence of feature maps [N, K, H, W]; it brings
            its own input normalization. Its weights are frozen here.
        channel_weights: one [K] tensor per depth, the learned weights of LPIPS; None: all channels count
            alike.
        name: name of the distance in metrics.
    """

    def __init__(
        self,
        features: nn.Module,
        channel_weights: Sequence[Tensor] | None = None,
        name: str = "features",
    ) -> None:
        super().__init__()
        self.name = name
        self.features = features.requires_grad_(False).eval()
        self.num_weights = 0 if channel_weights is None else len(channel_weights)
        for depth, weights_K in enumerate(channel_weights or ()):
            self.register_buffer(f"weights_{depth}", weights_K, persistent=False)

    def train(self, mode: bool = True) -> "PerceptualLoss":
        return super().train(False)  # always eval: no dropout, no updates of running statistics

    def forward(self, x_BCTHW: Tensor, target_BCTHW: Tensor) -> Tensor:
        """Return the mean distance over all frames; a scalar.

        Raises:
            ValueError: the number of feature maps differs from that of `channel_weights`.
        """
        both_NCHW = torch.cat([v.transpose(1, 2).flatten(0, 1) for v in (x_BCTHW, target_BCTHW)])
        maps = self.features(both_NCHW)
        if self.num_weights and len(maps) != self.num_weights:
            raise ValueError(f"channel_weights has {self.num_weights} depths, the features have {len(maps)}")
        total = both_NCHW.new_zeros(())
        for depth, map_NKHW in enumerate(maps):
            x_NKHW, target_NKHW = nn.functional.normalize(map_NKHW, dim=1, eps=1e-6).chunk(2)
            square_NKHW = (x_NKHW - target_NKHW).square()
            if self.num_weights:
                square_NKHW = square_NKHW * getattr(self, f"weights_{depth}")[:, None, None]
            total = total + square_NKHW.sum(1).mean()
        return total
