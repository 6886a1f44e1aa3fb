"""Means over a validation set, by name, over all processes."""

import torch
from torch import Tensor
from torchmetrics import MeanMetric


class ValidationMeans:
    """Means of numbers per sample, float64: they do not depend on how samples are split over processes.

    Args:
        device: of the numbers.
        world_size: number of processes; above one, `compute` is collective.
    """

    def __init__(self, device: torch.device, world_size: int) -> None:
        self.device, self.world_size = device, world_size
        self._means: dict[str, MeanMetric] = {}

    def update(self, name: str, values_B: Tensor) -> None:
        """Add one number per sample to the mean of a name."""
        if len(values_B):
            if name not in self._means:
                self._means[name] = self._new_mean()
            self._means[name].update(values_B)

    def compute(self) -> dict[str, float]:
        """Return all means; waits for the device."""
        found = {}
        for name in self._names():  # all processes in the same order: `compute` is collective
            mean = self._means.get(name)
            if mean is None:  # other processes have samples of this kind, this one has none
                mean = self._new_mean()
                mean.update(torch.zeros(0, device=self.device))
            found[name] = float(mean.compute())
        return found

    def _new_mean(self) -> MeanMetric:
        # NaN stays NaN, where torchmetrics would leave such values out of the mean
        mean = MeanMetric(nan_strategy="disable", sync_on_compute=self.world_size > 1)
        mean.set_dtype(torch.float64)
        return mean.to(self.device)

    def _names(self) -> list[str]:
        """Return the names of all processes' means, sorted."""
        if self.world_size == 1:
            return sorted(self._means)
        gathered: list[list[str]] = [[] for _ in range(self.world_size)]
        torch.distributed.all_gather_object(gathered, sorted(self._means))
        return sorted({name for names in gathered for name in names})
