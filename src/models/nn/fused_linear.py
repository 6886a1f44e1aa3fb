"""Linear layers fused with the norm or gate in front of them; the backward pass recomputes the layer's input.

Autograd saves the input of every matrix product for the weight's gradient. Where that input is a norm of
saved tokens, or a gated product of two saved halves, saving it doubles the memory although recomputing it
costs a few operations per number. Backward passes cast as autocast does and are not differentiable twice.
`src.models.nn.layers` calls these functions and holds the same formulas without fusion.

Shapes: L tokens, D model dimension, F hidden dimension, O output dimension; ... is any shape.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

GATE_GROUPS = 8  # gate and up rows of the fused weight alternate in this many groups


def rms_norm(x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    """Return x / rms(x) * weight in the dtype of x, saving only x and 1 / rms for the backward pass."""
    out: Tensor = _RMSNorm.apply(x, weight_D, eps)
    return out


def rms_norm_linear(
    x: Tensor,
    norm_weight_D: Tensor,
    shift: Tensor | None,
    scale: Tensor | None,
    eps: float,
    weight_OD: Tensor,
    bias_O: Tensor | None,
) -> Tensor:
    """Return linear(rms_norm(x) * (1 + scale) + shift), [..., O].

    Args:
        x: tokens [B, L, D].
        norm_weight_D: gain of the norm.
        shift, scale: [B, 1, D] or [B, L, D]; both or neither.
    """
    norm = (x, norm_weight_D, shift, scale, eps)
    out: Tensor = _RMSNormLinear.apply(*norm, matmul_dtype(x), weight_OD, bias_O)
    return out


def swiglu_linear(
    gate_up: Tensor, weight_DF: Tensor, bias_D: Tensor | None, num_groups: int = GATE_GROUPS
) -> Tensor:
    """Return linear(silu(gate) * up), [..., D], of a fused [..., 2 F] (see `split_gate_up`)."""
    out: Tensor = _SwiGLULinear.apply(gate_up, matmul_dtype(gate_up), weight_DF, bias_D, num_groups)
    return out


def split_gate_up(gate_up: Tensor, num_groups: int = GATE_GROUPS) -> tuple[Tensor, Tensor]:
    """Return gate and up as views [..., G, F / G] of the fused [..., 2 F], in which G groups alternate."""
    gate, up = gate_up.unflatten(-1, (num_groups, 2, -1)).unbind(-2)
    return gate, up


def matmul_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype of a matrix product with x: autocast's where autocast is enabled."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def _cast(dtype: torch.dtype, weight_OD: Tensor, bias_O: Tensor | None) -> tuple[Tensor, Tensor | None]:
    return weight_OD.to(dtype), None if bias_O is None else bias_O.to(dtype)


def _linear_grads(
    grad: Tensor, input: Tensor, weight_OD: Tensor, has_bias: bool
) -> tuple[Tensor, Tensor | None]:
    """Return the gradients of a linear layer's weight and bias."""
    grad_LO = grad.flatten(0, -2)
    grad_weight = (grad_LO.T @ input.flatten(0, -2)).to(weight_OD.dtype)
    return grad_weight, grad_LO.sum(0).to(weight_OD.dtype) if has_bias else None


# ---- norms


def _gain(weight_D: Tensor, scale: Tensor | None) -> Tensor:
    return weight_D if scale is None else weight_D * (1 + scale)


def _normalize(
    x: Tensor, weight_D: Tensor, shift: Tensor | None, scale: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """Return x / rms(x) * weight * (1 + scale) + shift, and 1 / rms; both at least in float32."""
    # Squares of bfloat16 keep 8 bits only: the mean of thousands of them needs float32.
    x_wide = x.to(x.dtype if x.dtype.itemsize > 2 else torch.float32)
    # vector_norm reads x once; square().mean() would write a tensor of the size of x in between.
    mean_square = torch.linalg.vector_norm(x_wide, dim=-1, keepdim=True).square_() / x.shape[-1]
    inv_rms = mean_square.add_(eps).rsqrt_()
    return _affine(x_wide * inv_rms, _gain(weight_D, scale), shift), inv_rms


def _affine(x_hat: Tensor, gain: Tensor, shift: Tensor | None) -> Tensor:
    gain = gain.to(x_hat.dtype)
    return x_hat * gain if shift is None else torch.addcmul(shift.to(x_hat.dtype), x_hat, gain)


def _norm_grads(
    grad: Tensor, x_hat: Tensor, inv_rms: Tensor, weight_D: Tensor, has_shift: bool, scale: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Return the gradients of x (in the dtype of x_hat = x * inv_rms), weight, shift and scale."""
    grad_wide = grad.to(x_hat.dtype)
    # d/dx of x / rms(x): (g - x_hat * mean(g * x_hat)) / rms, with g the gradient of x_hat.
    grad_x = grad_wide * _gain(weight_D, scale).to(x_hat.dtype)
    grad_x.addcmul_(x_hat, (grad_x * x_hat).mean(-1, keepdim=True), value=-1).mul_(inv_rms)
    grad_gain = grad_wide * x_hat
    if scale is None:
        return grad_x, grad_gain.sum_to_size(weight_D.shape), None, None
    # Summed over tokens before anything else: [B, L, D] shrinks to [B, 1, D] where a sample has one scale.
    grad_gain = grad_gain.sum_to_size(scale.shape)
    grad_shift = grad_wide.sum_to_size(scale.shape) if has_shift else None
    return grad_x, (grad_gain * (1 + scale)).sum_to_size(weight_D.shape), grad_shift, grad_gain * weight_D


class _RMSNorm(torch.autograd.Function):
    """x / rms(x) * weight; saves x and 1 / rms."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
        out, inv_rms = _normalize(x, weight_D, None, None, eps)
        ctx.save_for_backward(x, inv_rms, weight_D)
        return out.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, inv_rms, weight_D = ctx.saved_tensors
        grad_x, grad_weight, _, _ = _norm_grads(grad, x * inv_rms, inv_rms, weight_D, False, None)
        return grad_x.to(x.dtype), grad_weight, None


class _RMSNormLinear(torch.autograd.Function):
    """linear(x / rms(x) * weight * (1 + scale) + shift); saves x and 1 / rms instead of the input."""

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
        value, inv_rms = _normalize(x, weight_D, shift, scale, eps)
        ctx.save_for_backward(x, inv_rms, weight_D, shift, scale, weight_OD)
        ctx.has_bias = bias_O is not None
        return F.linear(value.to(dtype), *_cast(dtype, weight_OD, bias_O))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, inv_rms, weight_D, shift, scale, weight_OD = ctx.saved_tensors
        x_hat = x * inv_rms
        value = _affine(x_hat, _gain(weight_D, scale), shift)
        grad_weight, grad_bias = _linear_grads(grad, value.to(grad.dtype), weight_OD, ctx.has_bias)
        del value  # as large as x: freed before the next product allocates as much
        # The product stays in grad's dtype (bfloat16 under autocast); `_norm_grads` widens the result, so the
        # gradient of a float32 residual stream is not rounded again.
        grad_value = grad @ weight_OD.to(grad.dtype)
        grad_x, grad_weight_D, grad_shift, grad_scale = _norm_grads(
            grad_value, x_hat, inv_rms, weight_D, shift is not None, scale
        )
        return grad_x.to(x.dtype), grad_weight_D, grad_shift, grad_scale, None, None, grad_weight, grad_bias


# ---- gated units


class _SwiGLULinear(torch.autograd.Function):
    """linear(silu(gate) * up); saves the fused gate and up instead of the linear's input."""

    @staticmethod
    def forward(
        ctx: Any,
        gate_up: Tensor,
        dtype: torch.dtype,
        weight_DF: Tensor,
        bias_D: Tensor | None,
        num_groups: int,
    ) -> Tensor:
        ctx.save_for_backward(gate_up, weight_DF)
        ctx.has_bias, ctx.num_groups = bias_D is not None, num_groups
        gate, up = split_gate_up(gate_up, num_groups)
        value = F.silu(gate).mul_(up).flatten(-2)
        return F.linear(value.to(dtype), *_cast(dtype, weight_DF, bias_D))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        gate_up, weight_DF = ctx.saved_tensors
        grad_gate_up = torch.empty_like(gate_up, memory_format=torch.contiguous_format)
        # silu(gate) * up of all tokens: the weight's gradient needs it as one matrix, [..., F].
        value = gate_up.new_empty(*gate_up.shape[:-1], gate_up.shape[-1] // 2)
        # In chunks of rows: temporaries of the hidden dimension exist for a quarter of the tokens only.
        chunked = zip(*map(_row_chunks, (gate_up, grad, value, grad_gate_up)), strict=True)
        for rows, grad_rows, value_rows, grad_gate_up_rows in chunked:
            gate, up = split_gate_up(rows, ctx.num_groups)
            grad_gate, grad_up = split_gate_up(grad_gate_up_rows, ctx.num_groups)
            active = F.silu(gate)
            torch.mul(active, up, out=value_rows.unflatten(-1, (ctx.num_groups, -1)))
            grad_value = (grad_rows @ weight_DF.to(grad.dtype)).to(gate_up.dtype)
            grad_value = grad_value.unflatten(-1, (ctx.num_groups, -1))
            grad_up.copy_(active.mul_(grad_value))
            grad_gate.copy_(torch.ops.aten.silu_backward(grad_value.mul_(up), gate))
        grad_weight, grad_bias = _linear_grads(grad, value.to(grad.dtype), weight_DF, ctx.has_bias)
        return grad_gate_up, None, grad_weight, grad_bias, None


def _row_chunks(x: Tensor) -> tuple[Tensor, ...]:
    """Return views of the rows of [..., O] in up to 4 chunks of at least 256 rows."""
    rows = x.flatten(0, -2)
    return rows.chunk(max(1, min(4, len(rows) // 256)))  # products of few rows are slow
