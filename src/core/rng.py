"""Keyed randomness: every draw names its stream, so nothing depends on what was drawn before it.

A generator is a pure function of its key. Resuming, changing the number of ranks, or adding a new
draw elsewhere therefore leaves every other draw as it was.
"""

import hashlib

import numpy as np
import torch
from torch import Tensor


def key(seed: int, stream: str, *counters: int) -> int:
    """A 63-bit integer from a seed, a stream's name and any counters (step, slot, ...)."""
    text = f"{seed}:{stream}:" + ":".join(str(int(c)) for c in counters)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator(seed: int, stream: str, *counters: int) -> torch.Generator:
    """A CPU torch generator for one keyed stream: noise is the same on every device."""
    return torch.Generator("cpu").manual_seed(key(seed, stream, *counters))


def numpy_generator(seed: int, stream: str, *counters: int) -> np.random.Generator:
    """The NumPy twin of `generator` (Philox)."""
    return np.random.Generator(np.random.Philox(key(seed, stream, *counters)))


def randn_slots(shape: tuple[int, ...], seed: int, stream: str, step: int, slots: list[int]) -> Tensor:
    """Standard normal noise, one keyed draw for each sample.

    Args:
        shape: shape of one sample, without the batch dimension.
        step: optimiser step that the noise belongs to.
        slots: each sample's place in the *global* batch. Keying by slot and not by rank makes a
            batch of 2B in one process equal to two ranks with B each.

    Returns:
        float32 tensor [len(slots), *shape] on the CPU.
    """
    return torch.stack([torch.randn(shape, generator=generator(seed, stream, step, slot)) for slot in slots])


def rand_slots(seed: int, stream: str, step: int, slots: list[int]) -> Tensor:
    """Uniform numbers in [0, 1), one keyed draw for each sample; float32 [len(slots)]."""
    return torch.stack([torch.rand((), generator=generator(seed, stream, step, slot)) for slot in slots])
