"""Linear layers, norms and feed-forward networks that transformers are built from.

Shapes: L tokens, D width, F hidden dimension, G groups of hidden units.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.nn.fused_linear import GatedInput, NormedInput, RMSNormFunction

NORM_EPS = 1e-5
Input = Tensor | NormedInput | GatedInput


class Linear(nn.Linear):
    """A linear layer that starts with variance 1 / fan_in, or at zero.

    It also reads inputs that are cheap to compute, without keeping them for the backward pass.
    """

    def __init__(
        self, in_features: int, out_features: int, *, bias: bool = False, zero: bool = False
    ) -> None:
        self.zero = zero
        super().__init__(in_features, out_features, bias=bias)

    def reset_parameters(self) -> None:
        if self.zero:
            nn.init.zeros_(self.weight)
        else:
            nn.init.normal_(self.weight, std=1 / math.sqrt(self.in_features))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, input: Input) -> Tensor:
        if isinstance(input, Tensor):
            return F.linear(input, self.weight, self.bias)
        return input.linear(self.weight, self.bias)


class RMSNorm(nn.RMSNorm):
    """RMSNorm with a learned gain, in the type of its input."""

    def forward(self, x: Tensor) -> Tensor:
        assert self.eps is not None
        return RMSNormFunction.apply(x, self.weight, self.eps)


def make_norm(kind: str, dim: int) -> nn.Module:
    """RMSNorm with a learned gain (LLaMa3), or LayerNorm without parameters (DiT)."""
    if kind == "rms":
        return RMSNorm(dim, eps=NORM_EPS)
    return nn.LayerNorm(dim, eps=NORM_EPS, elementwise_affine=False)


def modulated(
    norm: nn.Module, x_BLD: Tensor, shift: Tensor | None = None, scale: Tensor | None = None
) -> Tensor | NormedInput:
    """norm(x) * (1 + scale) + shift, or norm(x), for a `Linear` to read.

    Args:
        shift, scale: [B, 1, D] or [B, L, D]; both or neither.

    Returns:
        [B, L, D]; of an RMSNorm a promise of it, which the linear layer computes.
    """
    if isinstance(norm, RMSNorm):
        assert norm.eps is not None
        return NormedInput(x_BLD, norm.weight, shift, scale, norm.eps)
    out = norm(x_BLD)
    return out if shift is None or scale is None else torch.addcmul(out + shift, out, scale)


def make_qk_norms(wanted: bool, head_dim: int) -> tuple[nn.Module, nn.Module]:
    """Norms of queries and keys, head by head: they bound the logits, so that large steps stay stable."""
    if not wanted:
        return nn.Identity(), nn.Identity()
    return RMSNorm(head_dim, eps=NORM_EPS), RMSNorm(head_dim, eps=NORM_EPS)


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)), with gate and up in one matrix product.

    Gate and up alternate in 8 groups of rows, so that cutting the fused matrix into 2, 4 or 8 equal
    parts (tensor parallelism) gives every rank matching rows of both.
    """

    def __init__(self, dim: int, hidden: int, *, bias: bool = False) -> None:
        super().__init__()
        self.gate_up = Linear(dim, 2 * hidden, bias=bias)
        self.down = Linear(hidden, dim, bias=bias)

    def forward(self, x_BLD: Input) -> Tensor:
        return self.down(GatedInput(self.gate_up(x_BLD)))


class MLP(nn.Module):
    """down(activation(up(x))), the feed-forward network of the DiT block."""

    def __init__(self, dim: int, hidden: int, *, activation: str, bias: bool = True) -> None:
        super().__init__()
        self.activation = activation
        self.up = Linear(dim, hidden, bias=bias)
        self.down = Linear(hidden, dim, bias=bias)

    def forward(self, x_BLD: Input) -> Tensor:
        hidden = self.up(x_BLD)
        hidden = F.silu(hidden) if self.activation == "silu" else F.gelu(hidden, approximate="tanh")
        return self.down(hidden)


def make_ffn(kind: str, dim: int, hidden: int, *, bias: bool) -> nn.Module:
    """The feed-forward network by name: swiglu, silu or gelu."""
    if kind == "swiglu":
        return SwiGLU(dim, hidden, bias=bias)
    return MLP(dim, hidden, activation=kind, bias=bias)
