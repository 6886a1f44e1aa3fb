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


class _RMSNorm(torch.autograd.Function):
    """x / rms(x) * weight * (1 + scale) + shift in few passes; only x and 1 / rms are kept for backward.

    Plain autograd goes over the tokens three times as often and keeps each of its steps.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight_D: Tensor,
        shift: Tensor | None,
        scale: Tensor | None,
        eps: float,
        dtype: torch.dtype,
    ) -> Tensor:
        wide = x.float() if x.dtype.itemsize < 4 else x
        mean = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_() / x.shape[-1]
        inverse = mean.add_(eps).rsqrt_()
        ctx.save_for_backward(x, inverse, weight_D, scale)
        ctx.shifted = shift is not None
        out = wide * inverse
        gain = weight_D if scale is None else weight_D * (1 + scale)
        out = out.mul_(gain) if shift is None else torch.addcmul(shift, out, gain)
        return out.to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, inverse, weight_D, scale = ctx.saved_tensors
        gradient = gradient.to(inverse.dtype)
        normal = x * inverse
        inner = gradient * (weight_D if scale is None else weight_D * (1 + scale))
        of_x = torch.addcmul(inner, normal, (inner * normal).mean(-1, keepdim=True), value=-1)
        of_x = of_x.mul_(inverse).to(x.dtype)
        of_gain = normal.mul_(gradient)
        if scale is None:
            of_scale, of_weight_D = None, of_gain.sum_to_size(weight_D.shape)
        else:
            of_gain = of_gain.sum_to_size(scale.shape)
            of_scale, of_weight_D = of_gain * weight_D, (of_gain * (1 + scale)).sum_to_size(weight_D.shape)
        of_shift = gradient.sum_to_size(scale.shape) if ctx.shifted else None
        return of_x, of_weight_D, of_shift, of_scale, None, None


class RMSNorm(nn.RMSNorm):
    """RMSNorm with a learned gain, in the type of its input."""

    def forward(self, x: Tensor) -> Tensor:
        assert self.eps is not None
        return _RMSNorm.apply(x, self.weight, None, None, self.eps, x.dtype)


def make_norm(kind: str, dim: int) -> nn.Module:
    """RMSNorm with a learned gain (LLaMa3), or LayerNorm without parameters (DiT)."""
    if kind == "rms":
        return RMSNorm(dim, eps=NORM_EPS)
    return nn.LayerNorm(dim, eps=NORM_EPS, elementwise_affine=False)


def modulated(
    norm: nn.Module, x_BLD: Tensor, shift: Tensor | None = None, scale: Tensor | None = None
) -> Tensor:
    """norm(x) * (1 + scale) + shift, or norm(x), as a matrix product will read it.

    Args:
        shift, scale: [B, 1, D] or [B, L, D]; both or neither.

    Returns:
        [B, L, D] in autocast's type where that is on.
    """
    kind = x_BLD.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x_BLD.dtype
    if isinstance(norm, RMSNorm):
        return _RMSNorm.apply(x_BLD, norm.weight, shift, scale, norm.eps, dtype)
    out = norm(x_BLD)
    return out if shift is None or scale is None else torch.addcmul(out + shift, out, scale)


def make_qk_norms(wanted: bool, head_dim: int) -> tuple[nn.Module, nn.Module]:
    """Norms of queries and keys, head by head: they bound the logits, so that large steps stay stable."""
    if not wanted:
        return nn.Identity(), nn.Identity()
    return RMSNorm(head_dim, eps=NORM_EPS), RMSNorm(head_dim, eps=NORM_EPS)


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
