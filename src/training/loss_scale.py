"""Scale of the loss for float16, whose gradients would otherwise be too small for it."""

import torch
from torch import Tensor

INITIAL, GROWTH, BACKOFF, INTERVAL = 2.0**16, 2.0, 0.5, 2000  # torch's


class LossScale:
    """A factor that halves after a step with infinite gradients and doubles after 2,000 without.

    The rules of torch's `GradScaler`, whose check of gradients does not reach other processes' shards; here
    the step's `found_inf` decides, which is the same on every process. Nothing waits for the device.
    """

    def __init__(self, device: torch.device) -> None:
        self.scale = torch.full((), INITIAL, device=device)
        self._good_steps = torch.zeros((), dtype=torch.int32, device=device)

    def update(self, found_inf: Tensor) -> None:
        """Adapt the scale after a step."""
        torch._amp_update_scale_(self.scale, self._good_steps, found_inf, GROWTH, BACKOFF, INTERVAL)

    def state(self) -> dict[str, float]:
        """Return the state for a checkpoint; waits for the device."""
        return {"scale": float(self.scale), "good_steps": int(self._good_steps)}

    def load(self, state: dict[str, float]) -> None:
        self.scale.fill_(state["scale"])
        self._good_steps.fill_(int(state["good_steps"]))
