"""Attention on a CPU, in chunks of logits that fit the cache.

torch's own CPU kernel multiplies bfloat16 at float32 speed; plain matrix products in bfloat16 do not. Only q,
k and v are saved: the backward pass recomputes the weights of each chunk. With few keys, as in
cross-attention to a text, the weights are smaller than q, k and v together and are saved. Logits are rounded
to the dtype of q, which makes the error up to twice that of torch's kernel (docs/speed.md). Each softmax is
over all keys, so nothing else is approximate.

Shapes: B batch, L queries, S keys, H heads, D head dimension. Within a chunk: n heads (of one or several
samples) and l queries; n is dropped where it is 1, as one matrix product is faster than a batch of one.
"""

import math
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 2**20  # logits per chunk: 2 MB in bfloat16
FEW_KEYS = 128


def chunked_attention(
    q_BLHD: Tensor, k_BSHD: Tensor, v_BSHD: Tensor, key_mask_BS: Tensor | None = None
) -> Tensor:
    """Compute attention in any dtype and on any device, [B, L, H, D]; not differentiable twice."""
    out: Tensor = _ChunkedAttention.apply(q_BLHD, k_BSHD, v_BSHD, key_mask_BS)
    return out


class _ChunkedAttention(torch.autograd.Function):
    # Logits, weights and their gradients share one buffer per role: new memory for each costs 20 % more time.

    @staticmethod
    def forward(
        ctx: Any, q_BLHD: Tensor, k_BSHD: Tensor, v_BSHD: Tensor, key_mask_BS: Tensor | None
    ) -> Tensor:
        out_BLHD = torch.empty_like(q_BLHD, memory_format=torch.contiguous_format)
        chunks = _Chunks.plan(q_BLHD, k_BSHD)
        buffer = q_BLHD.new_empty(chunks.max_logits)
        saved: list[Tensor] = []
        for heads in chunks.heads:
            q, k, v = (heads.select(each) for each in (q_BLHD, k_BSHD, v_BSHD))
            for rows in chunks.rows:
                if chunks.few_keys:  # saved weights need memory of their own
                    buffer = q_BLHD.new_empty(chunks.max_logits)
                weights_nlS = _softmax_weights(q[..., rows, :], k, heads.mask(key_mask_BS), buffer)
                heads.store(weights_nlS @ v, out_BLHD, rows)
                if chunks.few_keys:
                    saved.append(weights_nlS)
        ctx.save_for_backward(q_BLHD, k_BSHD, v_BSHD, key_mask_BS, *saved)
        return out_BLHD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BLHD: Tensor) -> tuple[Tensor | None, ...]:
        q_BLHD, k_BSHD, v_BSHD, key_mask_BS, *saved = ctx.saved_tensors
        inputs = q_BLHD, k_BSHD, v_BSHD
        # Inputs are views with gaps (a fused qkv): contiguous gradients keep the copies below fast.
        grad_q, grad_k, grad_v = (
            torch.empty_like(each, memory_format=torch.contiguous_format) for each in inputs
        )
        scale = q_BLHD.shape[-1] ** -0.5
        chunks = _Chunks.plan(q_BLHD, k_BSHD)
        buffer, grad_buffer = q_BLHD.new_empty(2, chunks.max_logits)
        for heads in chunks.heads:
            q, k, v, grad = (heads.select(each) for each in (*inputs, grad_BLHD))
            sums: list[Tensor] = []  # gradients of k and v; float32 where they are sums over many chunks
            for rows in chunks.rows:
                q_nlD, grad_nlD = q[..., rows, :], grad[..., rows, :]
                weights_nlS = (
                    saved.pop(0) if saved else _softmax_weights(q_nlD, k, heads.mask(key_mask_BS), buffer)
                )
                grad_values = weights_nlS.mT @ grad_nlD
                grad_weights = grad_buffer[: weights_nlS.numel()].view_as(weights_nlS)
                torch.matmul(grad_nlD, v.mT, out=grad_weights)
                grad_logits = _softmax_backward_(grad_weights, weights_nlS)
                # The scale multiplies products of head dimension D: fewer numbers than the logits.
                heads.store((grad_logits @ k).mul_(scale), grad_q, rows)
                parts = [grad_logits.mT @ q_nlD, grad_values]
                if sums:
                    sums = [total.add_(part) for total, part in zip(sums, parts, strict=True)]
                else:
                    sums = parts if len(chunks.rows) == 1 else [part.float() for part in parts]
            heads.store(sums[0].mul_(scale), grad_k)
            heads.store(sums[1], grad_v)
        return grad_q, grad_k, grad_v, None


@dataclass(frozen=True)
class _Heads:
    """Some heads of one sample, or all heads of some samples."""

    samples: slice
    heads: slice

    def select(self, x_BLHD: Tensor) -> Tensor:
        """Return [n, L, D], or [L, D] for a single head."""
        x_nLD = x_BLHD[self.samples, :, self.heads].transpose(1, 2).flatten(0, 1)
        return x_nLD[0] if len(x_nLD) == 1 else x_nLD

    def store(self, x_nlD: Tensor, into_BLHD: Tensor, rows: slice = slice(None)) -> None:
        """Copy into the heads' place: the inverse of `select`."""
        target_bhlD = into_BLHD[self.samples, rows, self.heads].transpose(1, 2)
        target_bhlD.copy_(x_nlD.view(target_bhlD.shape))

    def mask(self, key_mask_BS: Tensor | None) -> Tensor | None:
        """Return the samples' mask as [b, 1, 1, S]."""
        return None if key_mask_BS is None else key_mask_BS[self.samples, None, None]


@dataclass(frozen=True)
class _Chunks:
    """A batch cut into groups of heads, and the queries of each group into slices."""

    heads: list[_Heads]
    rows: list[slice]
    max_logits: int
    few_keys: bool

    @staticmethod
    def plan(q_BLHD: Tensor, k_BSHD: Tensor) -> "_Chunks":
        """Take as many samples, then heads, then queries at once as have CHUNK logits."""
        (batch, queries, heads, _), keys = q_BLHD.shape, k_BSHD.shape[1]
        heads_at_once = max(1, CHUNK // (queries * keys))
        if heads_at_once >= heads:  # complete samples
            num_samples, num_heads = min(batch, heads_at_once // heads), heads
        else:
            num_samples, num_heads = 1, heads_at_once
        num_slices = math.ceil(queries / min(queries, max(1, CHUNK // (num_heads * keys))))
        rows = math.ceil(queries / num_slices)  # equal slices: a short last one would waste its products
        groups = product(range(0, batch, num_samples), range(0, heads, num_heads))
        return _Chunks(
            [_Heads(slice(b, b + num_samples), slice(h, h + num_heads)) for b, h in groups],
            [slice(row, row + rows) for row in range(0, queries, rows)],
            num_samples * num_heads * rows * keys,
            keys <= FEW_KEYS,
        )


def _softmax_weights(q_nlD: Tensor, k_nSD: Tensor, mask_b11S: Tensor | None, buffer: Tensor) -> Tensor:
    """Return the attention weights of a chunk; logits and weights are both written into `buffer`."""
    shape = *q_nlD.shape[:-1], k_nSD.shape[-2]
    logits_nlS = buffer[: math.prod(shape)].view(shape)
    multiply = torch.addmm if q_nlD.dim() == 2 else torch.baddbmm
    # alpha saves a pass over the logits; beta=0 ignores what the buffer holds, even NaN.
    multiply(logits_nlS, q_nlD, k_nSD.mT, beta=0, alpha=q_nlD.shape[-1] ** -0.5, out=logits_nlS)
    if mask_b11S is not None:
        logits_bhlS = logits_nlS.view(len(mask_b11S), -1, *shape[-2:])
        logits_bhlS.masked_fill_(~mask_b11S, float("-inf"))
    if shape[-1] > FEW_KEYS:
        return torch.softmax(logits_nlS, -1, out=logits_nlS)
    return logits_nlS.copy_(_widen(logits_nlS).softmax(-1))


def _softmax_backward_(grad_weights_nlS: Tensor, weights_nlS: Tensor) -> Tensor:
    """Return the gradient of the logits, written over the gradient of the weights."""
    softmax_backward, dtype = torch.ops.aten._softmax_backward_data, grad_weights_nlS.dtype
    if weights_nlS.shape[-1] > FEW_KEYS:
        softmax_backward.out(grad_weights_nlS, weights_nlS, -1, dtype, grad_input=grad_weights_nlS)
        return grad_weights_nlS
    wide = _widen(grad_weights_nlS)
    return grad_weights_nlS.copy_(softmax_backward(wide, _widen(weights_nlS), -1, wide.dtype))


def _widen(x_nlS: Tensor) -> Tensor:
    """Cast to at least float32: on short rows torch's bfloat16 softmax is slower, up to ten times."""
    return x_nlS.to(torch.promote_types(x_nlS.dtype, torch.float32))
