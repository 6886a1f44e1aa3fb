"""Factorized learned absolute position embeddings: one table per axis, summed (Movie Gen, sec. 3.1.3).

Shapes: T, H, W tokens along time, height and width; N = T * H * W; D hidden size.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FactorizedPosEmbed(nn.Module):
    """phi_T(t) + phi_H(h) + phi_W(w) for every token of a grid."""

    def __init__(self, sizes: tuple[int, int, int], dim: int, std: float = 0.02) -> None:
        super().__init__()
        self.std = std
        self.time = nn.Parameter(torch.empty(sizes[0], dim))
        self.height = nn.Parameter(torch.empty(sizes[1], dim))
        self.width = nn.Parameter(torch.empty(sizes[2], dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for table in (self.time, self.height, self.width):
            nn.init.normal_(table, std=self.std)

    def forward(self, grid: tuple[int, int, int]) -> Tensor:
        """Return the embeddings [N, D] of a grid of (T, H, W) tokens, in the dtype of the tables.

        Raises:
            ValueError: the grid is larger than a table.
        """
        tables = {"T": self.time, "H": self.height, "W": self.width}
        for (axis, table), size in zip(tables.items(), grid, strict=True):
            if size > table.shape[0]:
                raise ValueError(f"max_positions[{axis}] is {table.shape[0]}, the latent needs {size}")
        time, height, width = (table[:size] for table, size in zip(tables.values(), grid, strict=True))
        return (time[:, None, None] + height[:, None] + width).flatten(0, 2)


def expand_table(table_ND: Tensor, size: int, mode: Literal["interpolate", "pad"] = "interpolate") -> Tensor:
    """Return a position table for more positions than it was trained with, [size, D].

    Args:
        mode: "interpolate" stretches the table linearly, so that the first and last positions keep their
            vectors (for a finer grid over the same image); "pad" keeps all vectors and repeats the last one
            (for a longer axis at the same spacing).

    Raises:
        ValueError: `size` is below that of the table.
    """
    num_old = table_ND.shape[0]
    if size < num_old:
        raise ValueError(f"max_positions may only grow between stages, got {size} after {num_old}")
    if mode == "pad" or num_old == 1:
        return torch.cat([table_ND, table_ND[-1:].expand(size - num_old, -1)])
    stretched = F.interpolate(table_ND.float().T[None], size=size, mode="linear", align_corners=True)
    return stretched[0].T.to(table_ND.dtype)
