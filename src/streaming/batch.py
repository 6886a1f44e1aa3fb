"""Batches, the input of a training step.

Legend: B batch (this rank's slice), C channels, T frames, H height, W width, L text tokens, D text
features, S samples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import torch
from torch import Tensor

from src.streaming.pixels import from_uint8


@dataclass
class Batch:
    """Fields common to all batches.

    `global_indices` are the samples' indices in the GLOBAL batch: noise keyed by them does not depend on
    the number of ranks. `real_B` is False where a validation batch was filled up with repeats so that
    all ranks have equal shapes; leave those samples out of means.
    """

    ids: list[str]
    global_indices: list[int]
    stream: str
    bucket: str
    step: int
    captions: list[str]
    real_B: Tensor
    # This rank's samples over an equal fraction of the global batch: weighs its mean among the ranks'.
    loss_weight: float = field(default=1.0, kw_only=True)
    smallest_slice: int = field(default=0, kw_only=True)  # fewest samples of any rank; 0: this one's
    # What is wrong with records that could not be read; others are in their place.
    damaged: tuple[str, ...] = field(default=(), kw_only=True)

    def _map(self, change: Callable[[Tensor], Tensor]) -> Self:
        return replace(self, **{f.name: _map_tensors(getattr(self, f.name), change) for f in fields(self)})

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Return a copy of the batch with its tensors on a device."""
        return self._map(lambda x: x.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """Return a copy in pinned memory; the DataLoader's pinning thread calls it."""
        return self._map(lambda x: x.pin_memory())

    def take(self, indices: Sequence[int]) -> Self:
        """Return a batch of some of the samples."""
        return replace(self, **{f.name: _take(getattr(self, f.name), indices) for f in fields(self)})

    def __len__(self) -> int:
        return len(self.ids)


@dataclass
class ClipBatch(Batch):
    """Pixels, uint8; images are clips of one frame."""

    video_BCTHW: Tensor
    fps: list[float]

    def pixels(self) -> Tensor:
        """Return float32 [B, 3, T, H, W] in [-1, 1]."""
        return from_uint8(self.video_BCTHW)


@dataclass
class AudioBatch(Batch):
    """Audio, 16-bit PCM."""

    audio_BCS: Tensor  # int16
    sample_rate: int

    def audio(self) -> Tensor:
        """Return float32 [B, C, S] in [-1, 1)."""
        return self.audio_BCS.float() / 32768


LatentOrList = Tensor | list[Tensor]  # [B, C, T, H, W], or where sizes differ [C, T, H, W] for each


@dataclass
class LatentBatch(Batch):
    """The TAE posterior's moments, float32, and one caption for each sample.

    Latents of one size are stacked; a packed batch holds a list of latents of any sizes, without padding.
    `text` maps an encoder's name to (embeddings [B, L, D] float32, mask [B, L] bool), padded to the
    longest of the batch; None where text is encoded while training.
    """

    mean_BCTHW: LatentOrList
    std_BCTHW: LatentOrList
    fps: list[float]
    text: dict[str, tuple[Tensor, Tensor]] | None = field(default=None)
    first_BC1HW: Tensor | None = field(default=None)  # first frames by themselves, where they are stored

    @property
    def packed(self) -> bool:
        return isinstance(self.mean_BCTHW, list)

    def unpack(self) -> "list[LatentBatch]":
        """Return each sample of a packed batch as a stacked batch of one."""
        alone = (self.take([i]) for i in range(len(self)))
        return [
            replace(
                one, mean_BCTHW=torch.stack(list(one.mean_BCTHW)), std_BCTHW=torch.stack(list(one.std_BCTHW))
            )
            for one in alone
        ]

    def sample(self, noise_BCTHW: Tensor) -> Tensor:
        """Return a sample of the posterior from standard normal noise; not for a packed batch."""
        assert isinstance(self.mean_BCTHW, Tensor)
        assert isinstance(self.std_BCTHW, Tensor)
        return self.mean_BCTHW + self.std_BCTHW * noise_BCTHW


@dataclass
class AudioLatentBatch(LatentBatch):
    """Moments [B, C, L, 1, 1] of a codec's posterior, and the videos that the audio belongs to.

    `latent_rate` is in latent frames per second. `frames_BTCHW` are uint8; `features_BTD` are those of a
    frozen image tower; `times_BT` is when each frame is shown, in seconds from the first latent's beginning.
    All three are None for audio without video.
    """

    latent_rate: float = field(default=0.0, kw_only=True)
    frames_BTCHW: Tensor | None = field(default=None, kw_only=True)
    features_BTD: Tensor | None = field(default=None, kw_only=True)
    times_BT: Tensor | None = field(default=None, kw_only=True)


def _map_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {k: _map_tensors(v, change) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_map_tensors(v, change) for v in value)
    return value


def _take(value: Any, indices: Sequence[int]) -> Any:
    if isinstance(value, Tensor):
        return value[list(indices)]
    if isinstance(value, list):
        return [value[i] for i in indices]
    if isinstance(value, tuple):
        return tuple(_take(v, indices) for v in value)
    if isinstance(value, dict):
        return {k: _take(v, indices) for k, v in value.items()}
    return value
