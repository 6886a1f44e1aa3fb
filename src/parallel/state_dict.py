"""State dicts that do not know how many processes made them.

A gathered checkpoint holds whole tensors under plain names, and optimiser states in the layout of
`Optimizer.state_dict()`: the file is the same whether one process or many wrote it, and either may
read it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from src.parallel.checkpoint_io import load_into
from src.parallel.fsdp import copy_whole_, whole


def _plain(name: str) -> str:
    return name.replace("_orig_mod.", "")


def gather_module(module: nn.Module, keep: bool = True) -> dict[str, Tensor]:
    """Whole tensors on the CPU; collective. With `keep=False` (ranks above 0) an empty dict."""
    gathered = {}
    for name, tensor in module.state_dict().items():
        full = whole(tensor.detach())
        if keep:
            gathered[_plain(name)] = full.cpu()
    return gathered


def gather_optimizer(optimizer: torch.optim.Optimizer, keep: bool = True) -> dict[str, Any]:
    """`optimizer.state_dict()` with whole tensors on the CPU; collective."""
    plain = optimizer.state_dict()
    states: dict[int, dict[str, Any]] = {}
    for index, state in plain["state"].items():
        full = {k: whole(v).cpu() if isinstance(v, Tensor) else v for k, v in state.items()}
        if keep:
            states[index] = full
    return {"state": states, "param_groups": plain["param_groups"]} if keep else {}


def scatter_module(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load whole tensors into a module whose tensors may be sharded; names and shapes must match."""
    with torch.no_grad():
        for name, target in module.state_dict(keep_vars=True).items():
            copy_whole_(target, state[_plain(name)])


def scatter_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Load a gathered optimiser state; each process keeps its part of every moment."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    states = {index: _like(params[index], entry) for index, entry in state["state"].items()}
    optimizer.load_state_dict({"state": states, "param_groups": state["param_groups"]})


def _like(param: Tensor, entry: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(param, DTensor):
        return dict(entry)
    return {
        name: distribute_tensor(
            value.to(param.to_local().device), param.device_mesh, param.placements, src_data_rank=None
        )
        if isinstance(value, Tensor) and value.shape == param.shape and value.dim()
        else value
        for name, value in entry.items()
    }


def named_optimizer(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """An optimiser's tensors under `parameter/entry`, sharded as they are, and its groups beside them."""
    names = {param: _plain(name) for name, param in module.named_parameters()}
    tensors = {
        f"{names[param]}/{key}": value
        for param, entries in optimizer.state.items()
        for key, value in entries.items()
    }
    order = [names[param] for group in optimizer.param_groups for param in group["params"]]
    groups = {"names": order, "param_groups": optimizer.state_dict()["param_groups"]}
    return {"tensors": tensors, "groups": groups}


def load_named_optimizer(
    optimizer: torch.optim.Optimizer,
    groups: Mapping[str, Any],
    prefix: str,
    sizes: Mapping[str, tuple[torch.Size, torch.dtype]],
    path: Path,
) -> None:
    """Read an optimiser's part of a sharded checkpoint; `sizes` are the tensors stored under `prefix`."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    states: dict[int, dict[str, Tensor]] = {}
    tensors: dict[str, Tensor] = {}
    for name, (size, dtype) in sizes.items():
        param_name, entry = name.removeprefix(prefix).rsplit("/", 1)
        index = groups["names"].index(param_name)
        param = params[index].detach()
        target = torch.zeros_like(param) if size == param.shape else torch.zeros(size, dtype=dtype)
        states.setdefault(index, {})[entry] = tensors[name] = target
    load_into(tensors, path)
    optimizer.load_state_dict({"state": states, "param_groups": groups["param_groups"]})
