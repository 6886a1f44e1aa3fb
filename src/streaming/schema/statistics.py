"""Mean and standard deviation of latents per channel, accumulated while they are written."""

from dataclasses import dataclass
from typing import Any, Optional

import torch
from torch import Tensor


@dataclass(frozen=True)
class ChannelStatistics:
    """Sums over positions per channel; `square` of posterior samples: mean^2 + std^2."""

    count: int
    total: list[float]
    square: list[float]

    @staticmethod
    def of(moments_2CTHW: Tensor) -> "ChannelStatistics":
        mean, std = moments_2CTHW.to(torch.float64).chunk(2)
        square = (mean.square() + std.square()).sum((1, 2, 3))
        return ChannelStatistics(mean[0].numel(), mean.sum((1, 2, 3)).tolist(), square.tolist())

    def plus(self, other: Optional["ChannelStatistics"]) -> "ChannelStatistics":
        if other is None:
            return self
        total = [a + b for a, b in zip(other.total, self.total, strict=True)]
        square = [a + b for a, b in zip(other.square, self.square, strict=True)]
        return ChannelStatistics(self.count + other.count, total, square)

    @staticmethod
    def total_of(parts: list[dict[str, Any] | None]) -> Optional["ChannelStatistics"]:
        """Return the sum over parts, in their order; None if there are no parts."""
        out = None
        for part in parts:
            if part is not None:
                out = ChannelStatistics(**part).plus(out)
        return out

    def summary(self) -> dict[str, list[float]]:
        """Return {"mean": [C], "std": [C]} of posterior samples."""
        mean = [t / self.count for t in self.total]
        var = [s / self.count - m * m for s, m in zip(self.square, mean, strict=True)]
        return {"mean": mean, "std": [max(v, 0.0) ** 0.5 for v in var]}
