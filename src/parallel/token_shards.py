"""Context and tensor parallelism of a row of tokens: who has which tokens, and what is exchanged.

Movie Gen, sec. 3.1.6. Context parallelism shards the queries; keys and values are gathered for the forward
pass, and their gradients summed and scattered back. Nothing depends on the number of heads, and parts may
differ in length by one token. Tensor parallelism gathers the tokens in front of each branch and sums and
scatters what its processes computed (sequence parallelism).

Every process computes the loss of all tokens, but only its own tokens' part of each gradient. FSDP
*averages* gradients over a context group where their sum is due, so the gradient that enters the network is
multiplied by the size of that group. What tensor parallelism does not cut is summed by
`tensor_parallel.sum_gradients`.

Shapes: B batch, N all tokens of a group, n this process's; ... is any shape.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.nn.functional import pad

from src.parallel.mesh import ProcessMesh

# torch 2.14 renames both
ALL_GATHER = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
REDUCE_SCATTER = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor


@dataclass(frozen=True)
class Group:
    """Processes that exchange tokens, in the order of their tokens."""

    handle: ProcessGroup
    rank: int
    size: int


class SharedTokens:
    """Cuts rows of tokens for the processes of a mesh: call it with a row's number of tokens."""

    def __init__(self, mesh: ProcessMesh) -> None:
        self.context, self.tensor, self.all = (
            Group(axis.get_group(), axis.get_local_rank(), axis.size())
            for axis in (mesh.context, mesh.device_mesh["tensor_parallel"], mesh.tokens)
        )

    def __call__(self, num_tokens: int) -> "RowShards":
        return RowShards(self, num_tokens)


@dataclass(frozen=True)
class RowShards:
    """One row of tokens; see `src.models.nn.token_shards.TokenShards`."""

    groups: SharedTokens
    num_tokens: int

    @cached_property
    def context_lengths(self) -> tuple[int, ...]:
        """Return the number of tokens of each process of the context group."""
        return cut_evenly(self.num_tokens, self.groups.context.size)

    @cached_property
    def tensor_lengths(self) -> tuple[int, ...]:
        """Return the number of tokens of each process of the tensor group."""
        own = self.context_lengths[self.groups.context.rank]
        return cut_evenly(own, self.groups.tensor.size)

    @cached_property
    def queries(self) -> slice:
        start = sum(self.context_lengths[: self.groups.context.rank])
        return slice(start, start + self.context_lengths[self.groups.context.rank])

    @cached_property
    def stream(self) -> slice:
        start = self.queries.start + sum(self.tensor_lengths[: self.groups.tensor.rank])
        return slice(start, start + self.tensor_lengths[self.groups.tensor.rank])

    def gather_queries(self, x_BnD: Tensor) -> Tensor:
        if self.groups.tensor.size == 1:
            return x_BnD
        out: Tensor = _GatherTokens.apply(x_BnD, self.tensor_lengths, self.groups.tensor)
        return out

    def reduce_queries(self, x_BnD: Tensor) -> Tensor:
        if self.groups.tensor.size == 1:
            return x_BnD
        out: Tensor = _ReduceTokens.apply(x_BnD, self.tensor_lengths, self.groups.tensor)
        return out

    def gather_keys_values(self, k_BnHD: Tensor, v_BnHD: Tensor) -> tuple[Tensor, Tensor]:
        if self.groups.context.size == 1:
            return k_BnHD, v_BnHD
        both = torch.stack([k_BnHD, v_BnHD], 2)  # one exchange for both
        k, v = _GatherTokens.apply(both, self.context_lengths, self.groups.context).unbind(2)
        return k, v

    def gather_tokens(self, x_BnD: Tensor) -> Tensor:
        lengths = tuple(
            length for part in self.context_lengths for length in cut_evenly(part, self.groups.tensor.size)
        )
        out: Tensor = _GatherLoss.apply(x_BnD, lengths, self.groups.all, self.groups.context.size)
        return out


def cut_evenly(num_tokens: int, num_parts: int) -> tuple[int, ...]:
    """Return lengths that differ by one token at most, longer ones first."""
    return tuple(num_tokens // num_parts + (part < num_tokens % num_parts) for part in range(num_parts))


class _GatherTokens(torch.autograd.Function):
    """Concatenate the parts of all processes; their gradients are summed, and each gets its part's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, lengths: tuple[int, ...], group: Group) -> Tensor:
        ctx.lengths, ctx.group = lengths, group
        return _gather(x, lengths, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return _reduce_scatter(grad, ctx.lengths, ctx.group), None, None


class _ReduceTokens(torch.autograd.Function):
    """Sum over all processes and keep this one's part; the gradient is every part's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, lengths: tuple[int, ...], group: Group) -> Tensor:
        ctx.lengths, ctx.group = lengths, group
        return _reduce_scatter(x, lengths, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return _gather(grad, ctx.lengths, ctx.group), None, None


class _GatherLoss(torch.autograd.Function):
    """Concatenate the parts of all processes, which then compute the same loss and gradient of it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, lengths: tuple[int, ...], group: Group, factor: int) -> Tensor:
        start = sum(lengths[: group.rank])
        ctx.own, ctx.factor = slice(start, start + lengths[group.rank]), factor
        return _gather(x, lengths, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        return grad[:, ctx.own] * ctx.factor, None, None, None


def _gather(x_Bn: Tensor, lengths: tuple[int, ...], group: Group) -> Tensor:
    """Return [B, N, ...] of the parts [B, n, ...] of all processes."""
    longest = max(lengths)
    own = _padded(x_Bn.transpose(0, 1), longest)
    parts = own.new_empty(group.size * longest, *own.shape[1:])
    ALL_GATHER(parts, own, group.handle)
    if longest * group.size == sum(lengths):
        return parts.transpose(0, 1)
    kept = [part[:n] for part, n in zip(parts.split(longest), lengths, strict=True)]
    return torch.cat(kept).transpose(0, 1)


def _reduce_scatter(x_BN: Tensor, lengths: tuple[int, ...], group: Group) -> Tensor:
    """Return this process's part [B, n, ...] of the sum of all processes' [B, N, ...]."""
    longest = max(lengths)
    parts = torch.cat([_padded(part, longest) for part in x_BN.transpose(0, 1).split(lengths)])
    own = parts.new_empty(longest, *parts.shape[1:])
    REDUCE_SCATTER(own, parts, group=group.handle)
    return own[: lengths[group.rank]].transpose(0, 1)


def _padded(x_n: Tensor, length: int) -> Tensor:
    """Return a contiguous tensor of `length` rows, zeros behind those of x."""
    if len(x_n) == length:
        return x_n.contiguous()
    return pad(x_n, [0, 0] * (x_n.dim() - 1) + [0, length - len(x_n)]).contiguous()
