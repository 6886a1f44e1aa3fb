"""What a training step receives. B batch (this rank's slice), C channels, T frames, H, W; L, D text."""

from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import torch
from torch import Tensor


@dataclass
class Batch:
    """Common to all batches.

    `slots` are the samples' places in the GLOBAL batch: key noise by them and the result does not
    depend on the number of ranks. `real_B` is False where a validation batch was filled up with
    repeats so that all ranks have equal shapes; leave those samples out of means.
    """

    ids: list[str]
    slots: list[int]
    stream: str
    bucket: str
    step: int
    captions: list[str]
    real_B: Tensor

    def _map(self, change: Any) -> Self:
        return replace(self, **{f.name: _mapped(getattr(self, f.name), change) for f in fields(self)})

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """A copy of the batch with its tensors on a device."""
        return self._map(lambda x: x.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """For the DataLoader's pinning thread."""
        return self._map(lambda x: x.pin_memory())

    def __len__(self) -> int:
        return len(self.ids)


@dataclass
class ClipBatch(Batch):
    """Pixels, uint8; pictures are clips of one frame."""

    video_BCTHW: Tensor
    fps: list[float]

    def pixels(self) -> Tensor:
        """float32 [B, 3, T, H, W] in [-1, 1]."""
        return self.video_BCTHW.float().div_(127.5).sub_(1.0)


@dataclass
class LatentBatch(Batch):
    """The TAE posterior's moments, float32, and one caption for each sample.

    `text` maps an encoder's name to (embeddings [B, L, D] float32, mask [B, L] bool), padded to the
    longest of the batch; None where text is encoded while training.
    """

    mean_BCTHW: Tensor
    std_BCTHW: Tensor
    fps: list[float]
    text: dict[str, tuple[Tensor, Tensor]] | None = field(default=None)
    first_BC1HW: Tensor | None = field(default=None)  # first frames by themselves, where they are stored

    def sample(self, noise_BCTHW: Tensor) -> Tensor:
        """A draw from the posterior with given standard normal noise."""
        return self.mean_BCTHW + self.std_BCTHW * noise_BCTHW


def _mapped(value: Any, change: Any) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {k: _mapped(v, change) for k, v in value.items()}
    if isinstance(value, tuple):
        return tuple(_mapped(v, change) for v in value)
    return value
