"""Keyed noise tensors: a draw depends on its key only, not on what was drawn before it.

Resuming, changing the number of ranks or adding a draw elsewhere leaves every other draw as it was.
"""

import torch
from torch import Tensor

from src.core import rng


def torch_generator(seed: int, stream: str, *counters: int) -> torch.Generator:
    """Return a CPU generator for one keyed stream; on the CPU, so that noise is the same on every device."""
    return torch.Generator("cpu").manual_seed(rng.key(seed, stream, *counters))


def randn_slots(shape: tuple[int, ...], seed: int, stream: str, step: int, slots: list[int]) -> Tensor:
    """Draw standard normal noise, one keyed draw per sample.

    Args:
        shape: shape of one sample, without the batch dimension.
        step: optimizer step that the noise belongs to.
        slots: index of each sample in the *global* batch. Keying by slot and not by rank makes a batch of
            2B in one process equal to two ranks with B each.

    Returns:
        float32 tensor [len(slots), *shape] on the CPU.
    """
    return torch.stack(
        [torch.randn(shape, generator=torch_generator(seed, stream, step, slot)) for slot in slots]
    )


def rand_slots(seed: int, stream: str, step: int, slots: list[int]) -> Tensor:
    """Draw uniform numbers in [0, 1), one keyed draw per sample; float32 [len(slots)] on the CPU."""
    return torch.stack(
        [torch.rand((), generator=torch_generator(seed, stream, step, slot)) for slot in slots]
    )
