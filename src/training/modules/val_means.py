"""Means of one number per sample, over batches and processes."""

from typing import Any

import torch
from torch import Tensor


class Means:
    """Sums and counts by name; processes may have seen different names, and none of some."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def add(self, name: str, values_B: Tensor) -> None:
        """Add one number per sample to the mean called `name`."""
        pair = torch.stack([values_B.double().sum(), values_B.new_tensor(len(values_B)).double()])
        self._sums[name] = self._sums.get(name, 0) + pair

    def names(self, num_processes: int) -> list[str]:
        """The names of all processes, in the same order on each."""
        if num_processes == 1:
            return sorted(self._sums)
        gathered: list[Any] = [None] * num_processes
        torch.distributed.all_gather_object(gathered, sorted(self._sums))
        return sorted({name for part in gathered for name in part})

    def sums(self, names: list[str], device: torch.device) -> Tensor:
        """Sum and count of this process under each name; float64 [names, 2]."""
        empty = torch.zeros(2, dtype=torch.float64, device=device)
        return torch.stack([self._sums.get(name, empty) for name in names])
