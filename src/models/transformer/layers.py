"""Linear layers, norms and feed-forward networks that transformers are built from.

Shapes: L tokens, D width, F hidden dimension, G groups of hidden units.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

NORM_EPS = 1e-5
FFN_GROUPS = 8


class Linear(nn.Linear):
    """A linear layer that starts with variance 1 / fan_in, or at zero."""

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


def make_norm(kind: str, dim: int) -> nn.Module:
    """RMSNorm with a learned gain (LLaMa3), or LayerNorm without parameters (DiT)."""
    if kind == "rms":
        return nn.RMSNorm(dim, eps=NORM_EPS)
    return nn.LayerNorm(dim, eps=NORM_EPS, elementwise_affine=False)


class HeadNorm(nn.RMSNorm):
    """RMSNorm in the type of its input, which is what the fused kernel asks for."""

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


def make_qk_norms(wanted: bool, head_dim: int) -> tuple[nn.Module, nn.Module]:
    """Norms of queries and keys, head by head: they bound the logits, so that large steps stay stable."""
    if not wanted:
        return nn.Identity(), nn.Identity()
    return HeadNorm(head_dim, eps=NORM_EPS), HeadNorm(head_dim, eps=NORM_EPS)


class GatedSiLU(torch.autograd.Function):
    """silu(gate) * up of a fused [..., 2 F] in groups of (gate, up), keeping only that for backward.

    Plain autograd would keep silu(gate) and the product's factors too, as much again; both are cheap to
    compute once more. Values and gradients are those of plain autograd, bit by bit.
    """

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        ctx.save_for_backward(gate_up)
        gate, up = gate_up.unflatten(-1, (FFN_GROUPS, 2, -1)).unbind(-2)
        return (F.silu(gate) * up).flatten(-2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (gate_up,) = ctx.saved_tensors
        gate, up = gate_up.unflatten(-1, (FFN_GROUPS, 2, -1)).unbind(-2)
        gradient = gradient.unflatten(-1, (FFN_GROUPS, -1))
        of_gate = torch.ops.aten.silu_backward(gradient * up, gate)
        return torch.stack([of_gate, gradient * F.silu(gate)], -2).flatten(-3)


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)), with gate and up in one matrix product.

    Gate and up alternate in 8 groups of rows, so that cutting the fused matrix into 2, 4 or 8 equal
    parts (tensor parallelism) gives every rank matching rows of both.
    """

    def __init__(self, dim: int, hidden: int, *, bias: bool = False) -> None:
        super().__init__()
        self.gate_up = Linear(dim, 2 * hidden, bias=bias)
        self.down = Linear(hidden, dim, bias=bias)

    def forward(self, x_BLD: Tensor) -> Tensor:
        return self.down(GatedSiLU.apply(self.gate_up(x_BLD)))


class MLP(nn.Module):
    """down(activation(up(x))), the feed-forward network of the DiT block."""

    def __init__(self, dim: int, hidden: int, *, activation: str, bias: bool = True) -> None:
        super().__init__()
        self.activation = activation
        self.up = Linear(dim, hidden, bias=bias)
        self.down = Linear(hidden, dim, bias=bias)

    def forward(self, x_BLD: Tensor) -> Tensor:
        hidden = self.up(x_BLD)
        hidden = F.silu(hidden) if self.activation == "silu" else F.gelu(hidden, approximate="tanh")
        return self.down(hidden)


def make_ffn(kind: str, dim: int, hidden: int, *, bias: bool) -> nn.Module:
    """The feed-forward network by name: swiglu, silu or gelu."""
    if kind == "swiglu":
        return SwiGLU(dim, hidden, bias=bias)
    return MLP(dim, hidden, activation=kind, bias=bias)
