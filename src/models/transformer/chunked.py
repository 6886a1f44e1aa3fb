"""Attention in bfloat16 on a CPU: matrix products and softmax of as many logits at a time as its cache holds.

torch's own kernel multiplies bfloat16 at float32's rate there. Logits are rounded to the type of q, which
about doubles the kernel's error (docs/speed.md); the softmax of a chunk is over all keys, so nothing else is
approximate. Nothing but q, k and v is kept: the backward pass computes the weights of a chunk once more.

Shapes: B batch, L queries, S keys, H heads, D head dimension; h heads and l queries of a chunk, without h
where that is one head, since products of matrices are faster than of a batch of one.
"""

import math
from dataclasses import dataclass
from itertools import product
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
    """Logits, weights and their gradients take each other's place: fresh memory costs a fifth more."""

    @staticmethod
    def forward(
        ctx: Any, q_BLHD: Tensor, k_BSHD: Tensor, v_BSHD: Tensor, key_mask_BS: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(q_BLHD, k_BSHD, v_BSHD, key_mask_BS)
        out_BLHD = torch.empty_like(q_BLHD, memory_format=torch.contiguous_format)
        q, k, v, out = (each.transpose(1, 2) for each in (q_BLHD, k_BSHD, v_BSHD, out_BLHD))
        chunks = _Chunks.of(q, k)
        space = chunks.space(q)
        for heads in chunks.heads:
            for rows in chunks.rows:
                weights_hlS = _weights(q[heads][..., rows, :], k[heads], key_mask_BS, heads, space)
                out[heads][..., rows, :] = weights_hlS @ v[heads]
        return out_BLHD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_BLHD: Tensor) -> tuple[Tensor | None, ...]:
        *given, key_mask_BS = ctx.saved_tensors
        found = [torch.empty_like(each, memory_format=torch.contiguous_format) for each in given]
        q, k, v, gradient = (each.transpose(1, 2) for each in (*given, gradient_BLHD))
        of_q, of_k, of_v = (each.transpose(1, 2) for each in found)
        scale = q.shape[-1] ** -0.5
        chunks = _Chunks.of(q, k)
        spaces = chunks.space(q), chunks.space(q)
        for heads in chunks.heads:
            sums: list[Tensor] = []  # gradients of keys and values: many chunks add up in float32
            for rows in chunks.rows:
                q_hlD, gradient_hlD = q[heads][..., rows, :], gradient[heads][..., rows, :]
                weights_hlS = _weights(q_hlD, k[heads], key_mask_BS, heads, spaces[0])
                of_values = weights_hlS.mT @ gradient_hlD
                of_weights = torch.matmul(gradient_hlD, v[heads].mT, out=_like(weights_hlS, spaces[1]))
                of_logits = torch.ops.aten._softmax_backward_data.out(
                    of_weights, weights_hlS, -1, weights_hlS.dtype, grad_input=of_weights
                )
                of_q[heads][..., rows, :] = (of_logits @ k[heads]).mul_(scale)
                parts = [of_logits.mT @ q_hlD, of_values]
                if not sums:
                    sums = parts if len(chunks.rows) == 1 else [part.float() for part in parts]
                else:
                    sums = [total.add_(part) for total, part in zip(sums, parts, strict=True)]
            of_k[heads], of_v[heads] = sums[0].mul_(scale), sums[1]
        return *found, None


@dataclass(frozen=True)
class _Chunks:
    """Heads of every sample, several together where they fit, and slices of their queries."""

    heads: list[Heads]
    rows: list[slice]
    size: int

    @staticmethod
    def of(q_BHLD: Tensor, k_BHSD: Tensor) -> "_Chunks":
        (batch, heads, queries, _), keys = q_BHLD.shape, k_BHSD.shape[2]
        together = min(heads, max(1, CHUNK // (queries * keys)))
        parts = math.ceil(queries / min(queries, max(1, CHUNK // (together * keys))))
        rows = math.ceil(queries / parts)
        groups = range(0, heads, together)
        which = [head if together == 1 else slice(head, head + together) for head in groups]
        slices = [slice(row, row + rows) for row in range(0, queries, rows)]
        return _Chunks(list(product(range(batch), which)), slices, together * rows * keys)

    def space(self, like: Tensor) -> Tensor:
        return like.new_empty(self.size)


def _like(chunk: Tensor, space: Tensor) -> Tensor:
    return space[: chunk.numel()].view_as(chunk)


def _weights(q_hlD: Tensor, k_hSD: Tensor, key_mask_BS: Tensor | None, heads: Heads, space: Tensor) -> Tensor:
    """Softmax of the logits of a chunk, both in the space given."""
    shape = *q_hlD.shape[:-1], k_hSD.shape[-2]
    logits_hlS = space[: math.prod(shape)].view(shape)
    product_of = torch.addmm if q_hlD.dim() == 2 else torch.baddbmm
    product_of(logits_hlS, q_hlD, k_hSD.mT, beta=0, alpha=q_hlD.shape[-1] ** -0.5, out=logits_hlS)
    if key_mask_BS is not None:
        logits_hlS.masked_fill_(~key_mask_BS[heads[0]], float("-inf"))
    return torch.softmax(logits_hlS, -1, out=logits_hlS)
