"""Adaptive layer norm with shared parameters, PixArt's adaLN-single: one MLP for all blocks, a table in each.

Shapes: B batch, D hidden size, K modulation vectors.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.models.nn.layers import Linear, ZeroLinear

TIME_SCALE = 1000.0  # sinusoidal embeddings are tuned for timesteps in [0, 1000]


def timestep_embedding(t_B: Tensor, dim: int, *, max_period: float = 10_000.0) -> Tensor:
    """Return the sinusoidal embedding of a flow time in [0, 1]; float32 [B, dim], cosines first."""
    half = dim // 2
    exponent = torch.arange(half, dtype=torch.float32, device=t_B.device) / half
    angle = TIME_SCALE * t_B.float()[:, None] * torch.exp(-math.log(max_period) * exponent)
    return torch.cat([angle.cos(), angle.sin()], dim=1)


class AdaLNSingle(nn.Module):
    """Map the flow time to six modulation vectors shared by all blocks and two for the final layer.

    The 30B parameters of the paper leave room for one shared projection of 6 D^2 only; a projection in each
    block would add 10.9B (Movie Gen, sec. 3.1.3). The projections start at zero, so all gates are closed.
    """

    def __init__(self, dim: int, time_dim: int) -> None:
        super().__init__()
        self.time_dim = time_dim
        self.linear_1 = Linear(time_dim, dim, bias=True)
        self.linear_2 = Linear(dim, dim, bias=True)
        self.block_modulation = ZeroLinear(dim, 6 * dim, bias=True)
        self.final_modulation = ZeroLinear(dim, 2 * dim, bias=True)

    def forward(self, t_B: Tensor) -> tuple[Tensor, Tensor]:
        """Map [B] to the modulation of the blocks [B, 6, D] and of the final layer [B, 2, D]."""
        # Outside autocast: bfloat16 cannot tell neighboring timesteps apart.
        with torch.autocast(t_B.device.type, enabled=False):
            dtype = next(p.dtype for p in self.parameters() if p.is_floating_point())
            embedding = timestep_embedding(t_B, self.time_dim).to(dtype)
            time_BD = F.silu(self.linear_2(F.silu(self.linear_1(embedding))))
            return self.block_modulation(time_BD).unflatten(1, (6, -1)), self.final_modulation(
                time_BD
            ).unflatten(1, (2, -1))


class ScaleShiftTable(nn.Module):
    """A layer's own offsets to the shared modulation: K learned vectors, each constant at initialization."""

    def __init__(self, initial: tuple[float, ...], dim: int) -> None:
        super().__init__()
        self.initial = initial
        self.table_KD = nn.Parameter(torch.empty(len(initial), dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for row, value in enumerate(self.initial):
            nn.init.constant_(self.table_KD[row], value)

    def forward(self, modulation_BKD: Tensor) -> tuple[Tensor, ...]:
        """Return K tensors [B, 1, D], which broadcast over tokens."""
        return (modulation_BKD + self.table_KD).unsqueeze(2).unbind(1)
