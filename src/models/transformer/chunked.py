"""Attention in bfloat16 on a CPU: matrix products and softmax of as many logits at a time as its cache holds.

torch's own kernel multiplies bfloat16 at float32's rate there. Logits are rounded to the type of q, which
about doubles the kernel's error (docs/speed.md); the softmax of a chunk is over all keys, so nothing else is
approximate. Nothing but q, k and v is kept: the backward pass computes the weights of a chunk once more.

Shapes: B batch, L queries, S keys, H heads, D head dimension; h heads and l queries of a chunk, without h
where that is one head, since products of matrices are faster than of a batch of one.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 2**20  # logits: 2 MB in bfloat16

Heads = tuple[int, int | slice]  # of B and H


def attend_in_chunks(
    q_BLHD: Tensor, k_BSHD: Tensor, v_BSHD: Tensor, key_mask_BS: Tensor | None = None
) -> Tensor:
    """`attend` of any type and device; it cannot be differentiated twice."""
    return _Chunked.apply(q_BLHD, k_BSHD, v_BSHD, key_mask_BS)


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q_BLHD: Tensor, k_BSHD: Tensor, v_BSHD: Tensor, key_mask_BS: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(q_BLHD, k_BSHD, v_BSHD, key_mask_BS)
        out_BLHD = torch.empty_like(q_BLHD, memory_format=torch.contiguous_format)
        q, k, v, out = (each.transpose(1, 2) for each in (q_BLHD, k_BSHD, v_BSHD, out_BLHD))
        for heads, chunks in _chunks(q, k):
            k_hSD, v_hSD, mask_S = _keys(k, v, key_mask_BS, heads)
            for rows in chunks:
                weights_hlS = _weights(q[heads][..., rows, :], k_hSD, mask_S)
                out[heads][..., rows, :] = weights_hlS @ v_hSD
        return out_BLHD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_BLHD: Tensor) -> tuple[Tensor | None, ...]:
        *given, key_mask_BS = ctx.saved_tensors
        found = [torch.empty_like(each, memory_format=torch.contiguous_format) for each in given]
        q, k, v, gradient = (each.transpose(1, 2) for each in (*given, gradient_BLHD))
        of_q, of_k, of_v = (each.transpose(1, 2) for each in found)
        scale = q.shape[-1] ** -0.5
        for heads, chunks in _chunks(q, k):
            k_hSD, v_hSD, mask_S = _keys(k, v, key_mask_BS, heads)
            sums: list[Tensor] = []  # gradients of keys and values: many chunks add up in float32
            for rows in chunks:
                q_hlD, gradient_hlD = q[heads][..., rows, :], gradient[heads][..., rows, :].contiguous()
                weights_hlS = _weights(q_hlD, k_hSD, mask_S)
                of_values = weights_hlS.mT @ gradient_hlD
                of_weights = gradient_hlD @ v_hSD.mT
                of_logits = torch.ops.aten._softmax_backward_data(
                    of_weights, weights_hlS, -1, weights_hlS.dtype
                )
                del weights_hlS, of_weights
                of_q[heads][..., rows, :] = (of_logits @ k_hSD).mul_(scale)
                parts = [of_logits.mT @ q_hlD.contiguous(), of_values]
                if len(chunks) > 1:
                    parts = [part.float() for part in parts]
                sums = [a + b for a, b in zip(sums, parts, strict=True)] if sums else parts
            of_k[heads], of_v[heads] = sums[0].mul_(scale), sums[1]
        return *found, None


def _chunks(q_BHLD: Tensor, k_BHSD: Tensor) -> Iterator[tuple[Heads, list[slice]]]:
    """Heads of a sample, several where they fit into a chunk, and slices of their queries."""
    (batch, heads, queries, _), keys = q_BHLD.shape, k_BHSD.shape[2]
    together = min(heads, max(1, CHUNK // (queries * keys)))
    parts = math.ceil(queries / min(queries, max(1, CHUNK // (together * keys))))
    rows = math.ceil(queries / parts)
    for sample in range(batch):
        for head in range(0, heads, together):
            which = head if together == 1 else slice(head, head + together)
            yield (sample, which), [slice(row, row + rows) for row in range(0, queries, rows)]


def _keys(
    k_BHSD: Tensor, v_BHSD: Tensor, key_mask_BS: Tensor | None, heads: Heads
) -> tuple[Tensor, Tensor, Tensor | None]:
    mask_S = None if key_mask_BS is None else key_mask_BS[heads[0]]
    return k_BHSD[heads].contiguous(), v_BHSD[heads].contiguous(), mask_S


def _weights(q_hlD: Tensor, k_hSD: Tensor, mask_S: Tensor | None) -> Tensor:
    product = torch.addmm if q_hlD.dim() == 2 else torch.baddbmm
    nothing, scale = q_hlD.new_zeros((1,) * q_hlD.dim()), q_hlD.shape[-1] ** -0.5
    logits_hlS = product(nothing, q_hlD, k_hSD.mT, beta=0, alpha=scale)
    if mask_S is not None:
        logits_hlS.masked_fill_(~mask_S, float("-inf"))
    return logits_hlS.softmax(-1)
