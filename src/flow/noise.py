"""Keyed noise tensors: a draw is a function of its key alone, on every device and in every order.

Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) maps a 128-bit counter and
a 64-bit key to four random 32-bit words. Here the key names the draw and the counter the position in the
tensor, so that resuming, another number of ranks, another device or another draw elsewhere changes nothing.
Words are equal bit by bit on every device; normals, which pass through log, cos and sin, agree to rounding.

Legend: B samples, N positions of one sample, W = 4 words of one Philox block.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from src.core import rng

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)  # golden ratio and sqrt(3) - 1, added to the key after every round
WORD = 0xFFFFFFFF


def torch_generator(seed: int, stream: str, *counters: int) -> torch.Generator:
    """Return a CPU generator for one keyed stream, for torch functions that take one."""
    return torch.Generator("cpu").manual_seed(rng.key(seed, stream, *counters))


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Return four random words for each counter.

    Args:
        counter: four int64 tensors that broadcast, with values in [0, 2**32).
        key: two such tensors.

    Returns:
        Four int64 tensors with values in [0, 2**32).
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        # 32 x 32 -> 64 bits. The product wraps into int64's sign bit; shift and mask give its upper word all
        # the same.
        p0, p1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = (p1 >> 32 & WORD) ^ c1 ^ k0, p1 & WORD, (p0 >> 32 & WORD) ^ c3 ^ k1, p0 & WORD
        k0, k1 = (k0 + KEY_STEPS[0]) & WORD, (k1 + KEY_STEPS[1]) & WORD
    return c0, c1, c2, c3


def random_words(keys: Sequence[int], num: int, device: torch.device | str = "cpu") -> Tensor:
    """Return int64 [B, num] of words in [0, 2**32): `num` for each 64-bit key."""
    key_B = torch.tensor([[k & WORD, k >> 32 & WORD] for k in keys], dtype=torch.int64).to(device)
    block = torch.arange(-(-num // 4), dtype=torch.int64, device=device)
    zero = torch.zeros((), dtype=torch.int64, device=device)
    words = philox((block & WORD, block >> 32, zero, zero), (key_B[:, :1], key_B[:, 1:]))
    return torch.stack(words, -1).flatten(1)[:, :num]


def uniform(keys: Sequence[int], shape: Sequence[int] = (), device: torch.device | str = "cpu") -> Tensor:
    """Draw uniform numbers in [0, 1), a tensor for each key; float32 [B, *shape]."""
    words = random_words(keys, math.prod(shape), device)
    return ((words >> 8).float() * 2.0**-24).reshape(len(keys), *shape)  # 24 bits: what float32 holds exactly


def normal(keys: Sequence[int], shape: Sequence[int] = (), device: torch.device | str = "cpu") -> Tensor:
    """Draw standard normal numbers by Box and Muller's method, a tensor for each key; float32 [B, *shape]."""
    num = math.prod(shape)
    words = random_words(keys, 2 * -(-num // 2), device)
    # (0, 1] for the radius, since log(0) is infinite; 32 bits reach 6.7 standard deviations, 24 bits only
    # 5.8.
    first = ((words[:, ::2] + 1).double() * 2.0**-32).float()
    second = (words[:, 1::2] >> 8).float() * 2.0**-24
    radius, angle = torch.sqrt(-2 * torch.log(first)), 2 * math.pi * second
    both = torch.stack((radius * torch.cos(angle), radius * torch.sin(angle)), -1).flatten(1)
    return both[:, :num].reshape(len(keys), *shape)


def randn_samples(
    shape: Sequence[int],
    seed: int,
    stream: str,
    step: int,
    indices: Sequence[int],
    device: torch.device | str = "cpu",
) -> Tensor:
    """Draw standard normal noise for the samples of a batch.

    Args:
        shape: shape of one sample, without the batch dimension.
        step: optimizer step that the noise belongs to.
        indices: index of each sample in the *global* batch. Keying by it and not by rank makes a batch of
            2B in one process equal to two ranks with B each.
        device: where the noise is needed; it is drawn there.

    Returns:
        float32 tensor [len(indices), *shape].
    """
    return normal([rng.key(seed, stream, step, i) for i in indices], shape, device)


def rand_samples(
    seed: int, stream: str, step: int, indices: Sequence[int], device: torch.device | str = "cpu"
) -> Tensor:
    """Draw uniform numbers in [0, 1), one for each sample of a batch; float32 [len(indices)]."""
    return uniform([rng.key(seed, stream, step, i) for i in indices], (), device)
