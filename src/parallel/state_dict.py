"""State dicts that do not depend on the number of processes, and their comparison with a model.

A gathered checkpoint holds full tensors under plain names, and optimizer states in the layout of
`Optimizer.state_dict()`: the file is the same whether one process or many wrote it, and either may read it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from src.parallel.checkpoint_io import CheckpointError, load_tensors_
from src.parallel.fsdp import copy_full_, full_tensor, shard_like

Shapes = Mapping[str, torch.Size]


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    """Return the shape of each tensor; of sharded ones the full shape."""
    return {name: tensor.shape for name, tensor in tensors.items()}


def check_architecture(path: Path, found: Shapes, expected: Shapes) -> None:
    """Compare the tensors of a checkpoint with those of a model, by name and shape.

    Args:
        path: the checkpoint, for the message.

    Raises:
        CheckpointError: they differ; the message names the first difference of each kind.
    """
    differences = describe_differences(found, expected)
    if differences:
        raise CheckpointError(f"{path}: architecture mismatch: {differences}")


def describe_differences(found: Shapes, expected: Shapes) -> str:
    """Return one line on the differing names and shapes; empty if there are none."""
    shapes = [n for n in expected if n in found and tuple(found[n]) != tuple(expected[n])]
    missing = [n for n in expected if n not in found]
    unexpected = [n for n in found if n not in expected]
    parts = []
    if shapes:
        n = shapes[0]
        parts.append(f"{n} has shape {list(found[n])}, the model's is {list(expected[n])}{_num_more(shapes)}")
    if missing:
        parts.append(f"missing key {missing[0]}{_num_more(missing)}")
    if unexpected:
        parts.append(f"unexpected key {unexpected[0]}{_num_more(unexpected)}")
    return "; ".join(parts)


def _num_more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _plain(name: str) -> str:
    return name.replace("_orig_mod.", "")  # torch.compile wraps modules under this name


def gather_module(module: nn.Module, keep: bool = True) -> dict[str, Tensor]:
    """Return full tensors on the CPU; collective. With `keep=False` (ranks above 0) an empty dict."""
    gathered = {}
    for name, tensor in module.state_dict().items():
        full = full_tensor(tensor.detach())
        if keep:
            gathered[_plain(name)] = full.cpu()
    return gathered


def gather_optimizer(optimizer: torch.optim.Optimizer, keep: bool = True) -> dict[str, Any]:
    """Return `optimizer.state_dict()` with full tensors on the CPU; collective."""
    sharded = optimizer.state_dict()
    states: dict[int, dict[str, Any]] = {}
    for index, state in sharded["state"].items():
        full = {k: full_tensor(v).cpu() if isinstance(v, Tensor) else v for k, v in state.items()}
        if keep:
            states[index] = full
    return {"state": states, "param_groups": sharded["param_groups"]} if keep else {}


def scatter_module(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load full tensors into a module whose tensors may be sharded; names and shapes must match."""
    with torch.no_grad():
        for name, target in module.state_dict(keep_vars=True).items():
            copy_full_(target, state[_plain(name)])


def scatter_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Load a gathered optimizer state; each process keeps its shard of every moment."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    states = {index: _shard_like(params[index], entry) for index, entry in state["state"].items()}
    optimizer.load_state_dict({"state": states, "param_groups": state["param_groups"]})


def _shard_like(param: Tensor, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Shard the entries of one parameter's optimizer state that have its shape; counters stay as they are."""
    if not isinstance(param, DTensor):
        return dict(entry)
    return {
        name: shard_like(value, param)
        if isinstance(value, Tensor) and value.shape == param.shape and value.dim()
        else value
        for name, value in entry.items()
    }


def named_optimizer_state(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return an optimizer's tensors under `parameter/entry`, sharded as they are, and its groups.

    Names instead of indices make each tensor of a sharded checkpoint readable by itself.
    """
    names: dict[Tensor, str] = {param: _plain(name) for name, param in module.named_parameters()}
    tensors = {
        f"{names[param]}/{key}": value
        for param, entries in optimizer.state.items()
        for key, value in entries.items()
    }
    order = [names[param] for group in optimizer.param_groups for param in group["params"]]
    groups = {"names": order, "param_groups": optimizer.state_dict()["param_groups"]}
    return {"tensors": tensors, "groups": groups}


def load_named_optimizer_state(
    optimizer: torch.optim.Optimizer,
    groups: Mapping[str, Any],
    prefix: str,
    index: Mapping[str, tuple[torch.Size, torch.dtype]],
    path: Path,
) -> None:
    """Read one optimizer's state from a sharded checkpoint; each process reads its own shard.

    Args:
        prefix: of this optimizer's tensors in the checkpoint.
        index: shape and dtype of the tensors stored under `prefix`.
    """
    params = [p for group in optimizer.param_groups for p in group["params"]]
    states: dict[int, dict[str, Tensor]] = {}
    tensors: dict[str, Tensor] = {}
    for name, (size, dtype) in index.items():
        param_name, entry = name.removeprefix(prefix).rsplit("/", 1)
        number = groups["names"].index(param_name)
        param = params[number].detach()
        # moments have the parameter's shape and sharding; step counters are scalars on every process
        target = torch.zeros_like(param) if size == param.shape else torch.zeros(size, dtype=dtype)
        states.setdefault(number, {})[entry] = tensors[name] = target
    load_tensors_(tensors, path)
    optimizer.load_state_dict({"state": states, "param_groups": groups["param_groups"]})
