"""A keyed bijection of 0 .. n - 1: an order that needs no table, by a Feistel network with cycle walking.

Black and Rogaway, "Ciphers with arbitrary finite domains" (2002).
"""

import numpy as np

from src.core.rng import key

NUM_ROUNDS = 6
MIX = np.uint64(0x9E3779B97F4A7C15)


def permuted_indices(indices: np.ndarray, n: int, seed: int, stream: str, *counters: int) -> np.ndarray:
    """Return the images of indices, int64, in time and memory of their number for any n.

    Args:
        indices: integers in 0 .. n - 1, of any shape.
        seed, stream, counters: the key of the order, as of `src.core.rng`.
    """
    half = max((n - 1).bit_length() + 1, 2) // 2  # bits of each half; 2 ** (2 * half) is below 4 n
    rounds = [np.uint64(key(seed, stream, *counters, r)) for r in range(NUM_ROUNDS)]
    out = _encrypt(np.asarray(indices, np.uint64), half, rounds)
    while (outside := out >= n).any():  # walk along the cycle until inside: a bijection of the inside
        out[outside] = _encrypt(out[outside], half, rounds)
    return out.astype(np.int64)


def _encrypt(values: np.ndarray, half: int, rounds: list[np.uint64]) -> np.ndarray:
    bits = np.uint64(half)
    mask = np.uint64((1 << half) - 1)
    left, right = values >> bits, values & mask
    for round_key in rounds:
        mixed = (right ^ round_key) * MIX
        mixed ^= mixed >> np.uint64(29)
        mixed *= MIX
        left, right = right, left ^ (mixed >> np.uint64(64 - half))
    return left << bits | right
