"""Initial weights as a function of (seed, module path), the same on one process and on many."""

import torch
from torch import nn

from src.core.rng import key
from src.parallel.fsdp import copy_full_, shard_groups


def initialize(net: nn.Module, seed: int, prefix: str = "") -> None:
    """Call every `reset_parameters()`, children before parents, each under a seed of its own.

    Raises:
        ValueError: a module owns parameters or buffers but has no `reset_parameters()`.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for name, module in _post_order(net, prefix):
            _require_reset(module, name)
            _reset(module, name, seed)


def initialize_sharded(net: nn.Module, shadow: nn.Module, seed: int) -> None:
    """Give a sharded network the values that `initialize` would give an unsharded one.

    One group at a time is materialized on the CPU, initialized, copied (each process keeps its shard) and
    returned to the meta device, so peak memory is one group.

    Args:
        shadow: the same network on the meta device.
    """
    paths = {module: name for name, module in shadow.named_modules()}
    groups = shard_groups(shadow)
    in_groups = {module for group in groups for module in group.modules()}
    for group in groups:
        group.to_empty(device="cpu")
        initialize(group, seed, paths[group])
        _copy(net.get_submodule(paths[group]), group)
        group.to("meta")
    rest = [module for module in shadow.modules() if module not in in_groups]
    for module in rest:
        module.to_empty(device="cpu", recurse=False)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for name, module in _post_order(shadow, ""):
            if module not in in_groups:
                _require_reset(module, name)
                _reset(module, name, seed)
    for module in rest:
        _copy(net.get_submodule(paths[module]), module, recurse=False)


def _reset(module: nn.Module, path: str, seed: int) -> None:
    reset = getattr(module, "reset_parameters", None)
    if reset is not None:
        # Not torch.manual_seed: without an accelerator it keeps a stack trace of every call, 3 ms each.
        torch.default_generator.manual_seed(key(seed, f"init/{path}"))
        reset()


def _post_order(module: nn.Module, path: str) -> list[tuple[str, nn.Module]]:
    found = []
    for name, child in module.named_children():
        found += _post_order(child, f"{path}.{name}" if path else name)
    return [*found, (path, module)]


def _require_reset(module: nn.Module, path: str) -> None:
    owns = next(module.parameters(recurse=False), None) is not None
    owns = owns or next(module.buffers(recurse=False), None) is not None
    if owns and not hasattr(module, "reset_parameters"):
        raise ValueError(
            f"{path or type(module).__name__}: {type(module).__name__} owns parameters or buffers but has no "
            "reset_parameters(), so it cannot be built on the meta device"
        )


def _copy(target: nn.Module, source: nn.Module, recurse: bool = True) -> None:
    with torch.no_grad():
        to = dict(target.named_parameters(recurse=recurse)) | dict(target.named_buffers(recurse=recurse))
        values = dict(source.named_parameters(recurse=recurse)) | dict(source.named_buffers(recurse=recurse))
        assert to.keys() == values.keys()
        for name, value in values.items():
            copy_full_(to[name], value)
