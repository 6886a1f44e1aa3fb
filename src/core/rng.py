"""Keyed randomness: every draw names its stream, so nothing depends on what was drawn before it.

A generator is a pure function of its key. Resuming, changing the number of ranks, or adding a new
draw elsewhere therefore leaves every other draw as it was. `src.flow.noise` draws tensors by the same keys.
"""

import hashlib

import numpy as np


def key(seed: int, stream: str, *counters: int) -> int:
    """Return a 63-bit integer for a seed, a stream's name and any counters (step, slot, ...)."""
    text = f"{seed}:{stream}:" + ":".join(str(int(c)) for c in counters)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def numpy_generator(seed: int, stream: str, *counters: int) -> np.random.Generator:
    """Return a NumPy generator (Philox) for one keyed stream."""
    return np.random.Generator(np.random.Philox(key(seed, stream, *counters)))
