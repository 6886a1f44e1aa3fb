"""Distance between the features of two films, frame by frame, as LPIPS measures it.

Legend: N frames of all films, C channels, H height, W width; K feature channels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PerceptualLoss(nn.Module):
    """Squared distance of unit-length features at several depths, averaged over positions and frames.

    Args:
        features: any module from x_NCHW in [-1, 1] to a sequence of feature maps [N, K, H, W]; it brings
            its own input normalisation. Its weights are frozen here.
        channel_weights: one [K] tensor a depth, LPIPS' learned weights; without them all channels
            count alike.
        name: what the distance is called in metrics.
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
        return super().train(False)  # a fixed yardstick: no dropout, no running statistics

    def forward(self, x_BCTHW: Tensor, target_BCTHW: Tensor) -> Tensor:
        """Mean distance over all frames; a scalar.

        Raises:
            ValueError: the features have another number of depths than `channel_weights`.
        """
        both_NCHW = torch.cat([v.transpose(1, 2).flatten(0, 1) for v in (x_BCTHW, target_BCTHW)])
        maps = self.features(both_NCHW)
        if self.num_weights and len(maps) != self.num_weights:
            raise ValueError(f"channel_weights: {self.num_weights} depths, but the features have {len(maps)}")
        total = both_NCHW.new_zeros(())
        for depth, map_NKHW in enumerate(maps):
            x_NKHW, target_NKHW = nn.functional.normalize(map_NKHW, dim=1, eps=1e-6).chunk(2)
            square_NKHW = (x_NKHW - target_NKHW).square()
            if self.num_weights:
                square_NKHW = square_NKHW * getattr(self, f"weights_{depth}")[:, None, None]
            total = total + square_NKHW.sum(1).mean()
        return total
