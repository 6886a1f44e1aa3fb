"""Where a model lives: the processes, the mesh, and how its parts are sharded over it.

A model exports its sharding plan as data (`shard_groups()`); this module applies it. On one process
there is no mesh and everything here is a no-op.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Layout:
    """The placement of one network: on a mesh (sharded) or, without one, on a single process."""

    mesh: DeviceMesh | None = None
    param_dtype: torch.dtype | None = None
    compile_backend: str | None = None  # None: blocks are not compiled
    device: torch.device = CPU


def shard_groups(net: nn.Module) -> list[nn.Module]:
    """The submodules that are gathered one at a time; the model says which (may be none)."""
    groups = getattr(net, "shard_groups", None)
    return list(groups()) if groups is not None else []


def compile_groups(net: nn.Module, layout: Layout) -> None:
    """`block.compile()` in place: keys of the state dict stay as they are."""
    if layout.compile_backend is not None:
        for group in shard_groups(net):
            group.compile(backend=layout.compile_backend)


def shard(net: nn.Module, layout: Layout) -> None:
    """Apply `fully_shard` to each group and then to the root.

    All of them drop the gathered parameters after use, the root too: a forward pass without backward
    (validation, sampling) would otherwise leave whole tensors where averages and checkpoints expect
    shards. With `param_dtype` bf16 the gathered copies are bf16, while gradients are reduced, and
    weights kept, in fp32. Inputs are not cast: autocast decides per operation, so flow times keep all
    their bits.
    """
    assert layout.mesh is not None
    # Nothing here changes an output in place, so a view is a good output.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
    policy = MixedPrecisionPolicy(
        param_dtype=layout.param_dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    for group in shard_groups(net):
        fully_shard(group, mesh=layout.mesh, mp_policy=policy)
    fully_shard(net, mesh=layout.mesh, mp_policy=policy, reshard_after_forward=True)
    for method in ("encode", "decode"):  # entry points beside `forward` must gather as well
        if hasattr(net, method):
            register_fsdp_forward_method(net, method)


def local(tensor: Tensor) -> Tensor:
    """This process's part of a tensor (the tensor itself where it is not sharded)."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """The whole tensor on every process; a collective call where it is sharded."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def copy_whole_(target: Tensor, value: Tensor) -> None:
    """Write a whole tensor into `target`, each process taking its own part (no communication)."""
    if isinstance(target, DTensor):
        value = value.to(target.dtype).to(target.to_local().device)
        part = distribute_tensor(value, target.device_mesh, target.placements, src_data_rank=None)
        target.to_local().copy_(part.to_local())
    else:
        target.copy_(value)


def set_gradient_sync(nets: Iterable[nn.Module], enabled: bool) -> None:
    """Switch gradient reduction, so that accumulated micro-batches communicate once."""
    from torch.distributed.fsdp import FSDPModule

    for net in nets:
        if isinstance(net, FSDPModule):
            net.set_requires_gradient_sync(enabled)
