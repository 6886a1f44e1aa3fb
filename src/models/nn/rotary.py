"""Rotary position embeddings (Su et al. 2021): queries and keys are rotated by their position.

Shapes: N tokens, B batch, H heads, D head dimension.
"""

import torch
from torch import Tensor

THETA = 10_000.0  # longest wavelength over 2 pi, in tokens

Rotation = tuple[Tensor, Tensor]  # cosines and sines, float32 [N, 1, D / 2]


def rotation(num_tokens: int, head_dim: int, device: torch.device) -> Rotation:
    """Return the rotation of tokens at positions 0, 1, ...; attention depends on their differences only."""
    exponent = torch.arange(head_dim // 2, dtype=torch.float32, device=device) / (head_dim // 2)
    positions = torch.arange(num_tokens, dtype=torch.float32, device=device)
    angle_N1D = (positions[:, None] * THETA**-exponent)[:, None]
    return angle_N1D.cos(), angle_N1D.sin()


def rotate(x_BNHD: Tensor, by: Rotation) -> Tensor:
    """Rotate each pair (d, d + D / 2) of features by its token's angle; in the dtype of x."""
    cos, sin = (each.to(x_BNHD.dtype) for each in by)
    first, second = x_BNHD.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)
