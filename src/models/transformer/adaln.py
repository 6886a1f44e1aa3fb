"""Flow time -> modulation: one MLP for all layers, and a small table in each (adaLN, shared).

Shapes: B batch, D width, K modulation vectors.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.models.nn.layers import Linear

TIME_SCALE = 1000.0  # t in [0, 1] is spread over the range for which sinusoids were tuned


def time_features(t_B: Tensor, dim: int, *, max_period: float = 10_000.0) -> Tensor:
    """Sinusoids of a flow time in [0, 1]; float32 [B, dim], cosines first."""
    half = dim // 2
    exponent = torch.arange(half, dtype=torch.float32, device=t_B.device) / half
    angle = TIME_SCALE * t_B.float()[:, None] * torch.exp(-math.log(max_period) * exponent)
    return torch.cat([angle.cos(), angle.sin()], dim=1)


class TimeModulation(nn.Module):
    """Flow time to six vectors for every block and two for the last layer.

    The paper's 30B has room for one shared projection of 6 D^2 only; a projection in each block would
    add 10.9B (spec, section 3.1). All starts at zero, so that every gate is closed at first.
    """

    def __init__(self, width: int, time_dim: int) -> None:
        super().__init__()
        self.time_dim = time_dim
        self.hidden = Linear(time_dim, width, bias=True)
        self.embed = Linear(width, width, bias=True)
        self.block = Linear(width, 6 * width, bias=True, zero=True)
        self.last = Linear(width, 2 * width, bias=True, zero=True)

    def forward(self, t_B: Tensor) -> tuple[Tensor, Tensor]:
        """[B] -> modulation of blocks [B, 6, D] and of the last layer [B, 2, D], outside autocast."""
        with torch.autocast(t_B.device.type, enabled=False):
            features = time_features(t_B, self.time_dim).to(self.hidden.weight.dtype)
            time_BD = F.silu(self.embed(F.silu(self.hidden(features))))
            return self.block(time_BD).unflatten(1, (6, -1)), self.last(time_BD).unflatten(1, (2, -1))


class ModulationTable(nn.Module):
    """A layer's own offsets to the shared modulation: K learned vectors, each constant at first."""

    def __init__(self, initial: tuple[float, ...], width: int) -> None:
        super().__init__()
        self.initial = initial
        self.table_KD = nn.Parameter(torch.empty(len(initial), width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for row, value in enumerate(self.initial):
            nn.init.constant_(self.table_KD[row], value)

    def forward(self, modulation_BKD: Tensor) -> tuple[Tensor, ...]:
        """K tensors [B, 1, D], ready to be broadcast over tokens."""
        return (modulation_BKD + self.table_KD).unsqueeze(2).unbind(1)
