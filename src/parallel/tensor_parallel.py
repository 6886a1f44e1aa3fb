"""Tensor parallelism: each process has a cut of some layers' weights, and all of the other weights.

Weights become DTensors over the axis of tensor parallelism, which FSDP2, checkpoints and optimizers treat
like others. Layers compute with local tensors: whichever parameter a layer reads, it gets its own cut as a
plain tensor, so that kernels, packed rows and uneven parts work as they do in one process.
"""

from collections.abc import Iterable
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard

from src.core.errors import UserError
from src.models.nn.attention_layers import CrossAttention, SelfAttention
from src.models.nn.layers import SwiGLU
from src.parallel.mesh import TENSOR


def cut_weights(net: nn.Module, mesh: DeviceMesh) -> None:
    """Cut the layers that the network declares (`tensor_parallel_layers`); the others stay complete.

    Call it on the meta device, before `fully_shard`.

    Raises:
        UserError: heads or hidden features do not divide by the number of processes.
    """
    declared = getattr(net, "tensor_parallel_layers", None)
    layers: dict[nn.Module, str] = declared() if declared is not None else {}
    cuts: dict[Tensor, int] = {}
    for layer, how in layers.items():
        for linear in layer.modules():
            if isinstance(linear, nn.Linear):
                cuts |= _cuts_of(layer, linear, how)
    for name, module in list(net.named_modules()):
        for key, param in list(module.named_parameters(recurse=False)):
            cut = cuts.get(param)
            module._parameters[key] = _as_dtensor(f"{name}.{key}", param, cut, mesh)
        if isinstance(module, SwiGLU) and module.gate_up.linear in layers:
            _check_divides(mesh, f"{name}: its groups of gates", module.num_groups)
            module.num_groups //= mesh.size()
        if isinstance(module, SelfAttention | CrossAttention) and module.out in layers:
            _check_divides(mesh, f"{name}: its heads", _base(module.out).in_features // module.head_dim)
        if module._parameters:
            _compute_locally(module)


def _check_divides(mesh: DeviceMesh, what: str, number: int) -> None:
    if number % mesh.size():
        raise UserError(f"train.parallel.tensor_parallel={mesh.size()} does not divide {what}, {number}")


def _cuts_of(layer: nn.Module, linear: nn.Linear, how: str) -> dict[Tensor, int]:
    """Return the dimension in which each weight of a layer is cut.

    A low-rank adapter is a layer of several linear ones: those whose outputs ("rows") or inputs ("columns")
    are the layer's are cut like it, the others are complete on every process.
    """
    base = _base(layer)
    if how == "rows" and linear.out_features == base.out_features:
        return {linear.weight: 0} | ({} if linear.bias is None else {linear.bias: 0})
    if how == "columns" and linear.in_features == base.in_features:
        if linear is not layer and linear.bias is not None:
            raise UserError("tensor parallelism needs layers without bias inside of adapters")
        return {linear.weight: 1}
    return {}


def _base(layer: nn.Module) -> nn.Linear:
    """Return the layer itself, or the first linear layer inside of an adapter."""
    return next(each for each in layer.modules() if isinstance(each, nn.Linear))


def _as_dtensor(name: str, param: nn.Parameter, cut: int | None, mesh: DeviceMesh) -> nn.Parameter:
    local = param.detach()
    if cut is not None:
        _check_divides(mesh, f"{name}: its features", param.shape[cut])
        local = local.chunk(mesh.size(), cut)[mesh.get_local_rank()].contiguous()
    placements = [Replicate() if cut is None else Shard(cut)]
    return nn.Parameter(
        DTensor.from_local(local, mesh, placements, run_check=False), requires_grad=param.requires_grad
    )


def _compute_locally(module: nn.Module) -> None:
    """Give a module a class whose parameters are read as plain tensors; stored they stay DTensors."""
    plain = type(module)
    names = tuple(module._parameters)
    readers = {name: property(partial(_read, name)) for name in names}
    module.__class__ = type(f"Local{plain.__name__}", (plain,), {"plain_type": plain, **readers})


def _read(name: str, module: nn.Module) -> Tensor | None:
    """Return a gathered weight's cut. Between uses FSDP2 keeps shards over several axes, and reads them."""
    param = module._parameters[name]
    return param.to_local() if isinstance(param, DTensor) and param.device_mesh.ndim == 1 else param


def divide_gradient(loss_B: Tensor, mesh: DeviceMesh | None) -> Tensor:
    """Return a loss whose gradient is divided by the number of processes of tensor parallelism.

    For losses that each of them computes from all tokens, outside of networks that cut their tokens:
    `sum_gradients` would otherwise count them once per process.

    Args:
        mesh: the axis of tensor parallelism; None: there is none.
    """
    return loss_B if mesh is None else loss_B.detach() + (loss_B - loss_B.detach()) / mesh.size()


def sum_gradients(params: Iterable[Tensor]) -> None:
    """Sum the gradients of complete weights over the processes of tensor parallelism; collective.

    Each has computed its tokens' and heads' share. One exchange of this process's shards, once a step.
    """
    by_axis: dict[DeviceMesh, list[Tensor]] = {}
    for param in params:
        grad = param.grad
        if not isinstance(grad, DTensor) or TENSOR not in (grad.device_mesh.mesh_dim_names or ()):
            continue
        axis = (grad.device_mesh.mesh_dim_names or ()).index(TENSOR)
        if grad.placements[axis].is_replicate():
            by_axis.setdefault(grad.device_mesh[TENSOR], []).append(grad.to_local())
    for mesh, grads in by_axis.items():
        flat = torch.cat([each.flatten() for each in grads])
        dist.all_reduce(flat, group=mesh.get_group())
        parts = flat.split([each.numel() for each in grads])
        for each, part in zip(grads, parts, strict=True):
            each.copy_(part.view_as(each))
