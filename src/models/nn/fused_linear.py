"""Linear layers whose input is cheap to compute: the backward pass computes it once more, nothing keeps it.

Plain autograd keeps what every matrix product reads. Where that is a norm of tokens which are kept anyway, or
a gated product of two halves which are kept anyway, it is as much memory again for a few operations on each
number. Backward passes cast as autocast does; they cannot be differentiated again.

Shapes: L tokens, D width, F hidden dimension, O what a layer gives; ... is any shape.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

GATE_GROUPS = 8  # gate and up alternate in groups of rows


def product_dtype(x: Tensor) -> torch.dtype:
    """What a matrix product with x computes in: autocast's type where that is on."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def _cast(dtype: torch.dtype, weight_OD: Tensor, bias_O: Tensor | None) -> tuple[Tensor, Tensor | None]:
    return weight_OD.to(dtype), None if bias_O is None else bias_O.to(dtype)


def _of_parameters(
    gradient: Tensor, value: Tensor, weight_OD: Tensor, biased: bool
) -> tuple[Tensor, Tensor | None]:
    """Gradients of a linear layer's weight and bias, from its output's and its input."""
    gradient_LO = gradient.flatten(0, -2)
    of_weight = (gradient_LO.T @ value.flatten(0, -2)).to(weight_OD.dtype)
    return of_weight, gradient_LO.sum(0).to(weight_OD.dtype) if biased else None


# ---- norms


def _gain(weight_D: Tensor, scale: Tensor | None) -> Tensor:
    return weight_D if scale is None else weight_D * (1 + scale)


def _normalise(
    x: Tensor, weight_D: Tensor, shift: Tensor | None, scale: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """x / rms(x) * weight * (1 + scale) + shift, and 1 / rms; both at least in float32."""
    wide = x.to(x.dtype if x.dtype.itemsize > 2 else torch.float32)
    mean = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_() / x.shape[-1]
    inverse = mean.add_(eps).rsqrt_()
    return _scaled(wide * inverse, _gain(weight_D, scale), shift), inverse


def _scaled(normal: Tensor, gain: Tensor, shift: Tensor | None) -> Tensor:
    gain = gain.to(normal.dtype)
    return normal * gain if shift is None else torch.addcmul(shift.to(normal.dtype), normal, gain)


def _of_norm(
    gradient: Tensor, normal: Tensor, inverse: Tensor, weight_D: Tensor, shifted: bool, scale: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Gradients of x (in the type of normal = x * inverse), weight, shift and scale from `_normalise`'s."""
    wide = gradient.to(normal.dtype)
    of_x = wide * _gain(weight_D, scale).to(normal.dtype)
    of_x.addcmul_(normal, (of_x * normal).mean(-1, keepdim=True), value=-1).mul_(inverse)
    of_gain = wide * normal
    if scale is None:
        return of_x, of_gain.sum_to_size(weight_D.shape), None, None
    of_gain = of_gain.sum_to_size(scale.shape)
    of_shift = wide.sum_to_size(scale.shape) if shifted else None
    return of_x, (of_gain * (1 + scale)).sum_to_size(weight_D.shape), of_shift, of_gain * weight_D


class RMSNormFunction(torch.autograd.Function):
    """x / rms(x) * weight in few passes; only x and 1 / rms are kept for backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
        out, inverse = _normalise(x, weight_D, None, None, eps)
        ctx.save_for_backward(x, inverse, weight_D)
        return out.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, inverse, weight_D = ctx.saved_tensors
        of_x, of_weight, _, _ = _of_norm(gradient, x * inverse, inverse, weight_D, False, None)
        return of_x.to(x.dtype), of_weight, None


class _NormedLinear(torch.autograd.Function):
    """A linear layer of x / rms(x) * weight * (1 + scale) + shift; x and 1 / rms are kept."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight_D: Tensor,
        shift: Tensor | None,
        scale: Tensor | None,
        eps: float,
        dtype: torch.dtype,
        weight_OD: Tensor,
        bias_O: Tensor | None,
    ) -> Tensor:
        value, inverse = _normalise(x, weight_D, shift, scale, eps)
        ctx.save_for_backward(x, inverse, weight_D, shift, scale, weight_OD)
        ctx.biased = bias_O is not None
        return F.linear(value.to(dtype), *_cast(dtype, weight_OD, bias_O))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, inverse, weight_D, shift, scale, weight_OD = ctx.saved_tensors
        normal = x * inverse
        value = _scaled(normal, _gain(weight_D, scale), shift)
        of_weight, of_bias = _of_parameters(gradient, value.to(gradient.dtype), weight_OD, ctx.biased)
        del value
        of_value = gradient @ weight_OD.to(gradient.dtype)
        of_x, of_weight_D, of_shift, of_scale = _of_norm(
            of_value, normal, inverse, weight_D, shift is not None, scale
        )
        return of_x.to(x.dtype), of_weight_D, of_shift, of_scale, None, None, of_weight, of_bias


@dataclass(frozen=True)
class NormedInput:
    """rms_norm(x) * (1 + scale) + shift [..., D] that no one has computed yet.

    Args:
        x: tokens [B, L, D].
        weight_D: the norm's gain.
        shift, scale: [B, 1, D] or [B, L, D]; both or neither.
    """

    x: Tensor
    weight_D: Tensor
    shift: Tensor | None
    scale: Tensor | None
    eps: float

    def linear(self, weight_OD: Tensor, bias_O: Tensor | None) -> Tensor:
        """A linear layer's output [..., O] of it."""
        given = (self.x, self.weight_D, self.shift, self.scale, self.eps)
        return _NormedLinear.apply(*given, product_dtype(self.x), weight_OD, bias_O)


# ---- gated units


def _halves(gate_up: Tensor) -> tuple[Tensor, Tensor]:
    """Views [..., G, F / G] of a fused [..., 2 F]."""
    gate, up = gate_up.unflatten(-1, (GATE_GROUPS, 2, -1)).unbind(-2)
    return gate, up


class _GatedLinear(torch.autograd.Function):
    """A linear layer of silu(gate) * up; the fused gate and up are kept."""

    @staticmethod
    def forward(
        ctx: Any, gate_up: Tensor, dtype: torch.dtype, weight_DF: Tensor, bias_D: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(gate_up, weight_DF)
        ctx.biased = bias_D is not None
        gate, up = _halves(gate_up)
        value = F.silu(gate).mul_(up).flatten(-2)
        return F.linear(value.to(dtype), *_cast(dtype, weight_DF, bias_D))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gate_up, weight_DF = ctx.saved_tensors
        of_gate_up = torch.empty_like(gate_up, memory_format=torch.contiguous_format)
        value = gate_up.new_empty(*gate_up.shape[:-1], gate_up.shape[-1] // 2)
        each = (gate_up, gradient, value, of_gate_up)
        for rows, of_rows, value_rows, of_gate_up_rows in zip(*map(_parts, each), strict=True):
            gate, up = _halves(rows)
            of_gate, of_up = _halves(of_gate_up_rows)
            active = F.silu(gate)
            torch.mul(active, up, out=value_rows.unflatten(-1, (GATE_GROUPS, -1)))
            of_value = (of_rows @ weight_DF.to(gradient.dtype)).to(gate_up.dtype)
            of_value = of_value.unflatten(-1, (GATE_GROUPS, -1))
            of_up.copy_(active.mul_(of_value))
            of_gate.copy_(torch.ops.aten.silu_backward(of_value.mul_(up), gate))
        of_weight, of_bias = _of_parameters(gradient, value.to(gradient.dtype), weight_DF, ctx.biased)
        return of_gate_up, None, of_weight, of_bias


def _parts(x: Tensor) -> tuple[Tensor, ...]:
    """Views of the rows of [..., O] in up to 4 parts of 256 or more, so that what is made of one is small."""
    rows = x.flatten(0, -2)
    return rows.chunk(max(1, min(4, len(rows) // 256)))


@dataclass(frozen=True)
class GatedInput:
    """silu(gate) * up [..., F] that no one has computed yet, of a fused [..., 2 F] in 8 groups of both."""

    gate_up: Tensor

    def linear(self, weight_DF: Tensor, bias_D: Tensor | None) -> Tensor:
        """A linear layer's output [..., D] of it."""
        return _GatedLinear.apply(self.gate_up, product_dtype(self.gate_up), weight_DF, bias_D)
