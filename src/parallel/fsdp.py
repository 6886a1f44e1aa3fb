"""Placement of a network: devices, mesh, and FSDP2 sharding over it.

A model exports its sharding plan as data (`shard_groups()`); this module applies it. Without a mesh (one
process) everything here is a no-op.
"""

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import (
    FSDPModule,
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor, Shard

from src.core.errors import UserError
from src.parallel.token_shards import SharedTokens

CPU = torch.device("cpu")


@dataclass(frozen=True)
class ParallelContext:
    """Placement of one network: sharded over a mesh, or complete on a single process without one."""

    mesh: DeviceMesh | None = None  # over which FSDP2 shards: one axis, or two with copies (HSDP)
    tensor_mesh: DeviceMesh | None = None
    cut_tokens: SharedTokens | None = None
    param_dtype: torch.dtype | None = None
    compile_backend: str | None = None  # None: blocks are not compiled
    device: torch.device = CPU


def shard_groups(net: nn.Module) -> list[nn.Module]:
    """Return the submodules that are gathered one at a time, as the model declares them (may be empty)."""
    groups = getattr(net, "shard_groups", None)
    return list(groups()) if groups is not None else []


def compile_groups(net: nn.Module, context: ParallelContext) -> None:
    """Compile each block in place (`block.compile()`), which keeps state-dict keys as they are."""
    if context.compile_backend is not None:
        if getattr(getattr(net, "config", None), "checkpoints_keep", "nothing") != "nothing":
            raise UserError(
                "transformer.checkpoints_keep does not see the products of compiled blocks; use "
                "checkpoints_keep=nothing or train.parallel.compile_blocks=false"
            )
        for group in shard_groups(net):
            group.compile(backend=context.compile_backend)


def shard(net: nn.Module, context: ParallelContext) -> None:
    """Apply `fully_shard` to each group and then to the root.

    With `param_dtype` bf16 the gathered copies of the groups are bf16; gradients are reduced, and weights
    stored, in fp32. The root is gathered in fp32: embeddings, positions, time MLP, first and last layers.
    They give the residual stream and the modulation their dtype, and autocast casts their matrices as it does
    in one process. Inputs are not cast either, so flow times keep all their bits, and every activation has
    the dtype of one process; of a group's norm gains and tables, which join fp32 activations, only the values
    are rounded.
    """
    assert context.mesh is not None
    # Nothing here changes an output in place, so returning a view is safe.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
    stored = next(net.parameters()).dtype
    reduce_dtype = torch.promote_types(stored, torch.float32)
    root_policy = MixedPrecisionPolicy(reduce_dtype=reduce_dtype, cast_forward_inputs=False)
    policy = replace(root_policy, param_dtype=context.param_dtype)
    for group in shard_groups(net):
        fully_shard(group, mesh=context.mesh, mp_policy=policy)
    # By default FSDP2 keeps the root gathered after its forward pass, for the backward pass that follows.
    # Validation and sampling have none: full tensors would stay where EMA and checkpoints expect shards.
    fully_shard(net, mesh=context.mesh, mp_policy=root_policy, reshard_after_forward=True)
    for method in ("encode", "decode", "forward_packed"):  # these entry points must gather as well
        if hasattr(net, method):
            register_fsdp_forward_method(net, method)


def to_local(tensor: Tensor) -> Tensor:
    """Return this process's shard of a tensor; the tensor itself if it is not sharded."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def full_tensor(tensor: Tensor) -> Tensor:
    """Return the full tensor on every process; a collective call if it is sharded."""
    if not isinstance(tensor, DTensor):
        return tensor
    mesh = tensor.device_mesh
    if tensor.device.type != mesh.device_type:  # optimizer state in host memory
        return full_tensor(tensor.to(mesh.device_type))
    sharded = [axis for axis in range(mesh.ndim) if not tensor.placements[axis].is_replicate()]
    if len(sharded) < 2:
        return tensor.full_tensor()
    # One axis after the other, the first one first: it has cut last.
    cut_axis, local = sharded[-1], tensor.to_local()
    assert len(sharded) == 2, tensor.placements
    cut_dim = tensor.placements[cut_axis].dim  # type: ignore[attr-defined]
    shape = [n // mesh.size(cut_axis) if dim == cut_dim else n for dim, n in enumerate(tensor.shape)]
    names = mesh.mesh_dim_names or ()
    shard = Shard(tensor.placements[sharded[0]].dim)  # type: ignore[attr-defined]
    cut = _from_local(local, mesh[names[sharded[0]]], shard, shape).full_tensor()
    return _from_local(cut, mesh[names[cut_axis]], Shard(cut_dim), tensor.shape).full_tensor()


def _from_local(local: Tensor, mesh: DeviceMesh, placement: Shard, shape: Sequence[int]) -> DTensor:
    stride = torch.empty(shape, device="meta").stride()
    return DTensor.from_local(
        local, mesh, [placement], run_check=False, shape=torch.Size(shape), stride=stride
    )


def copy_full_(target: Tensor, value: Tensor) -> None:
    """Copy a full tensor into `target`; each process takes its own shard, without communication."""
    if isinstance(target, DTensor):
        target.to_local().copy_(own_shard(value, target))
    else:
        target.copy_(value)


def own_shard(value: Tensor, like: DTensor) -> Tensor:
    """Return this process's part, as a view, of a full tensor that every process has."""
    mesh = like.device_mesh
    # The last axis cuts first: FSDP2 shards what tensor parallelism has left.
    for axis in reversed(range(mesh.ndim)):
        placement = like.placements[axis]
        if not placement.is_replicate():
            dim = placement.dim  # type: ignore[attr-defined]  # of Shard and its strided variant
            parts = value.chunk(mesh.size(axis), dim)
            rank = mesh.get_local_rank(axis)
            value = parts[rank] if rank < len(parts) else value.narrow(dim, 0, 0)
    return value


def shard_like(value: Tensor, like: DTensor) -> DTensor:
    """Return a full tensor, which every process has, sharded like another of its shape."""
    local = own_shard(value, like).to(like.to_local().device).contiguous()
    return DTensor.from_local(
        local, like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
    )


def total_norm(grads: Sequence[Tensor]) -> Tensor:
    """Return the norm of all gradients together, whole or sharded; collective if sharded."""
    by_copies: dict[int, list[Tensor]] = {}  # by the number of processes that have the same shard
    for grad in grads:
        by_copies.setdefault(_num_copies(grad), []).append(to_local(grad))
    total = torch.zeros((), device=grads[0].device)
    for copies, local in by_copies.items():
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(local)))
        total = total + norm.square() / copies
    if isinstance(grads[0], DTensor):
        torch.distributed.all_reduce(total)
    return total.sqrt()


def _num_copies(tensor: Tensor) -> int:
    if not isinstance(tensor, DTensor):
        return 1
    sizes = zip(tensor.device_mesh.shape, tensor.placements, strict=True)
    return math.prod(size for size, placement in sizes if placement.is_replicate())


def set_gradient_sync(nets: Iterable[nn.Module], *, shards: bool, copies: bool) -> None:
    """Switch the reduction of gradients in the next backward pass on or off.

    Args:
        shards: over the processes that share the weights; if off, full gradients are kept until it is on.
        copies: between copies of the sharded weights (HSDP).
    """
    for net in nets:
        if isinstance(net, FSDPModule):
            net.set_requires_gradient_sync(shards)
            net.set_requires_all_reduce(copies)
