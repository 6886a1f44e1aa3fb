"""Bytes of the tensors that are alive while a step runs, and their peak."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all storages that are alive, and keeps their peak.

    Args:
        tensors: those that are there before.
    """

    def __init__(self, tensors: list[torch.Tensor]) -> None:
        super().__init__()
        self.storages: WeakIdKeyDictionary = WeakIdKeyDictionary()
        self.peak, self.at = 0, ""
        self._add(tensors)

    def live(self) -> int:
        return sum(storage.nbytes() for storage in self.storages)  # FSDP2 frees by resizing

    def _add(self, tensors: list[Any]) -> None:
        for tensor in tensors:
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                self.storages[storage] = True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self._add(tree_leaves(out))
        if (live := self.live()) > self.peak:
            self.peak, self.at = live, str(func)
        return out
