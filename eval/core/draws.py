"""Keyed randomness of the evaluation: a generator is a pure function of its key, whatever ran before."""

import hashlib

import numpy as np


def generator(seed: int, stream: str, *counters: int) -> np.random.Generator:
    """A NumPy generator (Philox) for one named stream."""
    text = f"{seed}:{stream}:" + ":".join(str(int(each)) for each in counters)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return np.random.Generator(np.random.Philox(int.from_bytes(digest, "little")))
