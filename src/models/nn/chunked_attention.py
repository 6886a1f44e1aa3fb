"""Attention on a CPU: matrix products and softmax of as many logits at a time as its cache holds.

torch's own kernel multiplies bfloat16 at float32's rate there. Nothing but q, k and v is kept: the backward
pass computes the weights of a chunk once more. Where keys are few, as those of a text are, the weights are
smaller than q, k and v together, and are kept. Logits are rounded to the type of q, which makes the error
up to twice that of torch's kernel (docs/speed.md); a softmax is over all keys: nothing else is approximate.

Shapes: B batch, L queries, S keys, H heads, D head dimension. Of a chunk: n heads, of one sample or of
several, and l queries; n is left out where it is 1, as a product of matrices is faster than a batch of one.
"""

import math
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 2**20  # logits: 2 MB in bfloat16
FEW_KEYS = 128


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
        out_BLHD = torch.empty_like(q_BLHD, memory_format=torch.contiguous_format)
        chunks = _Chunks.of(q_BLHD, k_BSHD)
        space = q_BLHD.new_empty(chunks.logits)
        kept: list[Tensor] = []
        for heads in chunks.heads:
            q, k, v = (heads.of(each) for each in (q_BLHD, k_BSHD, v_BSHD))
            for rows in chunks.rows:
                if chunks.few_keys:
                    space = q_BLHD.new_empty(chunks.logits)
                weights_nlS = _weights(q[..., rows, :], k, heads.mask(key_mask_BS), space)
                heads.put(weights_nlS @ v, out_BLHD, rows)
                if chunks.few_keys:
                    kept.append(weights_nlS)
        ctx.save_for_backward(q_BLHD, k_BSHD, v_BSHD, key_mask_BS, *kept)
        return out_BLHD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_BLHD: Tensor) -> tuple[Tensor | None, ...]:
        q_BLHD, k_BSHD, v_BSHD, key_mask_BS, *kept = ctx.saved_tensors
        given = q_BLHD, k_BSHD, v_BSHD
        of_q, of_k, of_v = (torch.empty_like(each, memory_format=torch.contiguous_format) for each in given)
        scale = q_BLHD.shape[-1] ** -0.5
        chunks = _Chunks.of(q_BLHD, k_BSHD)
        space, second_space = q_BLHD.new_empty(2, chunks.logits)
        for heads in chunks.heads:
            q, k, v, gradient = (heads.of(each) for each in (*given, gradient_BLHD))
            sums: list[Tensor] = []  # gradients of keys and values: many chunks add up in float32
            for rows in chunks.rows:
                q_nlD, gradient_nlD = q[..., rows, :], gradient[..., rows, :]
                weights_nlS = kept.pop(0) if kept else _weights(q_nlD, k, heads.mask(key_mask_BS), space)
                of_values = weights_nlS.mT @ gradient_nlD
                of_weights = second_space[: weights_nlS.numel()].view_as(weights_nlS)
                torch.matmul(gradient_nlD, v.mT, out=of_weights)
                of_logits = _of_logits(of_weights, weights_nlS)
                heads.put((of_logits @ k).mul_(scale), of_q, rows)
                parts = [of_logits.mT @ q_nlD, of_values]
                if sums:
                    sums = [total.add_(part) for total, part in zip(sums, parts, strict=True)]
                else:
                    sums = parts if len(chunks.rows) == 1 else [part.float() for part in parts]
            heads.put(sums[0].mul_(scale), of_k)
            heads.put(sums[1], of_v)
        return of_q, of_k, of_v, None


@dataclass(frozen=True)
class _Heads:
    """Some heads of a sample, or all heads of some samples."""

    samples: slice
    heads: slice

    def of(self, x_BLHD: Tensor) -> Tensor:
        """[n, L, D], or [L, D] of a single head."""
        x_nLD = x_BLHD[self.samples, :, self.heads].transpose(1, 2).flatten(0, 1)
        return x_nLD[0] if len(x_nLD) == 1 else x_nLD

    def put(self, x_nlD: Tensor, into_BLHD: Tensor, rows: slice = slice(None)) -> None:
        """The way back."""
        target_bhlD = into_BLHD[self.samples, rows, self.heads].transpose(1, 2)
        target_bhlD.copy_(x_nlD.view(target_bhlD.shape))

    def mask(self, key_mask_BS: Tensor | None) -> Tensor | None:
        """True where a key may be read, [b, 1, 1, S]."""
        return None if key_mask_BS is None else key_mask_BS[self.samples, None, None]


@dataclass(frozen=True)
class _Chunks:
    """How a batch is cut: groups of heads, and slices of the queries of each."""

    heads: list[_Heads]
    rows: list[slice]
    logits: int  # of the largest
    few_keys: bool

    @staticmethod
    def of(q_BLHD: Tensor, k_BSHD: Tensor) -> "_Chunks":
        (batch, queries, heads, _), keys = q_BLHD.shape, k_BSHD.shape[1]
        at_once = max(1, CHUNK // (queries * keys))  # heads
        samples, some = (min(batch, at_once // heads), heads) if at_once >= heads else (1, at_once)
        parts = math.ceil(queries / min(queries, max(1, CHUNK // (some * keys))))
        rows = math.ceil(queries / parts)
        groups = product(range(0, batch, samples), range(0, heads, some))
        return _Chunks(
            [_Heads(slice(sample, sample + samples), slice(head, head + some)) for sample, head in groups],
            [slice(row, row + rows) for row in range(0, queries, rows)],
            samples * some * rows * keys,
            keys <= FEW_KEYS,
        )


def _weights(q_nlD: Tensor, k_nSD: Tensor, mask_b11S: Tensor | None, space: Tensor) -> Tensor:
    """Softmax of the logits of a chunk, both in the space given."""
    shape = *q_nlD.shape[:-1], k_nSD.shape[-2]
    logits_nlS = space[: math.prod(shape)].view(shape)
    multiply = torch.addmm if q_nlD.dim() == 2 else torch.baddbmm
    multiply(logits_nlS, q_nlD, k_nSD.mT, beta=0, alpha=q_nlD.shape[-1] ** -0.5, out=logits_nlS)
    if mask_b11S is not None:
        logits_bhlS = logits_nlS.view(len(mask_b11S), -1, *shape[-2:])
        logits_bhlS.masked_fill_(~mask_b11S, float("-inf"))
    if shape[-1] > FEW_KEYS:
        return torch.softmax(logits_nlS, -1, out=logits_nlS)
    return logits_nlS.copy_(_wide(logits_nlS).softmax(-1))


def _of_logits(of_weights_nlS: Tensor, weights_nlS: Tensor) -> Tensor:
    """Gradient of the logits, in the place of that of the weights."""
    of_softmax, dtype = torch.ops.aten._softmax_backward_data, of_weights_nlS.dtype
    if weights_nlS.shape[-1] > FEW_KEYS:
        return of_softmax.out(of_weights_nlS, weights_nlS, -1, dtype, grad_input=of_weights_nlS)
    wide = _wide(of_weights_nlS)
    return of_weights_nlS.copy_(of_softmax(wide, _wide(weights_nlS), -1, wide.dtype))


def _wide(few_nlS: Tensor) -> Tensor:
    """At least float32: of short rows torch's kernels in bfloat16 are slower, of the shortest ten times."""
    return few_nlS.to(torch.promote_types(few_nlS.dtype, torch.float32))
