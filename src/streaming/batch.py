"""What a training step receives. B batch (this rank's slice), C channels, T frames, H, W; L, D text."""

from collections.abc import Callable, Sequence
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
    # This rank's samples over an equal share of the global batch's: weighs its mean among the ranks'.
    share: float = field(default=1.0, kw_only=True)

    def _map(self, change: Callable[[Tensor], Tensor]) -> Self:
        return replace(self, **{f.name: _mapped(getattr(self, f.name), change) for f in fields(self)})

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """A copy of the batch with its tensors on a device."""
        return self._map(lambda x: x.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """For the DataLoader's pinning thread."""
        return self._map(lambda x: x.pin_memory())

    def take(self, numbers: Sequence[int]) -> Self:
        """A batch of some of the samples."""
        return replace(self, **{f.name: _taken(getattr(self, f.name), numbers) for f in fields(self)})

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


Films = Tensor | list[Tensor]  # [B, C, T, H, W], or where sizes differ [C, T, H, W] for each


@dataclass
class LatentBatch(Batch):
    """The TAE posterior's moments, float32, and one caption for each sample.

    Films of one size are stacked; a packed batch holds a list of films of any sizes, which nothing pads.
    `text` maps an encoder's name to (embeddings [B, L, D] float32, mask [B, L] bool), padded to the
    longest of the batch; None where text is encoded while training.
    """

    mean_BCTHW: Films
    std_BCTHW: Films
    fps: list[float]
    text: dict[str, tuple[Tensor, Tensor]] | None = field(default=None)
    first_BC1HW: Tensor | None = field(default=None)  # first frames by themselves, where they are stored

    @property
    def packed(self) -> bool:
        return isinstance(self.mean_BCTHW, list)

    def films(self) -> "list[LatentBatch]":
        """Each film of a packed batch as a batch of its own."""
        alone = (self.take([i]) for i in range(len(self)))
        return [
            replace(one, mean_BCTHW=torch.stack(one.mean_BCTHW), std_BCTHW=torch.stack(one.std_BCTHW))
            for one in alone
        ]

    def sample(self, noise_BCTHW: Tensor) -> Tensor:
        """A draw from the posterior with given standard normal noise; not of a packed batch."""
        return self.mean_BCTHW + self.std_BCTHW * noise_BCTHW


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {k: _mapped(v, change) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_mapped(v, change) for v in value)
    return value


def _taken(value: Any, numbers: Sequence[int]) -> Any:
    if isinstance(value, Tensor):
        return value[list(numbers)]
    if isinstance(value, list):
        return [value[i] for i in numbers]
    if isinstance(value, tuple):
        return tuple(_taken(v, numbers) for v in value)
    if isinstance(value, dict):
        return {k: _taken(v, numbers) for k, v in value.items()}
    return value
