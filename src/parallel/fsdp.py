"""Placement of a network: devices, mesh, and FSDP2 sharding over it.

A model exports its sharding plan as data (`shard_groups()`); this module applies it. Without a mesh (one
process) everything here is a no-op.
"""

import warnings
from collections.abc import Iterable
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
from torch.distributed.tensor import DTensor, distribute_tensor

CPU = torch.device("cpu")


@dataclass(frozen=True)
class ParallelContext:
    """Placement of one network: sharded over a mesh, or complete on a single process without one."""

    mesh: DeviceMesh | None = None
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
    root_policy = MixedPrecisionPolicy(reduce_dtype=torch.float32, cast_forward_inputs=False)
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
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def copy_full_(target: Tensor, value: Tensor) -> None:
    """Copy a full tensor into `target`; each process takes its own shard, without communication."""
    if isinstance(target, DTensor):
        value = value.to(target.dtype).to(target.to_local().device)
        # src_data_rank=None: every process has the value already, so nothing is scattered from rank 0
        shard = distribute_tensor(value, target.device_mesh, target.placements, src_data_rank=None)
        target.to_local().copy_(shard.to_local())
    else:
        target.copy_(value)


def set_gradient_sync(nets: Iterable[nn.Module], enabled: bool) -> None:
    """Switch gradient reduction on or off, so that accumulated micro-batches communicate once."""
    for net in nets:
        if isinstance(net, FSDPModule):
            net.set_requires_gradient_sync(enabled)
