"""Damped sinusoids from exactly rounded operations, so that every machine makes the same samples."""

import math

import numpy as np

Array = np.ndarray


def damped(hertz: float, decay_s: float, count: int, rate: int, lag: float = 0.0) -> tuple[Array, Array]:
    """Return exp(-kt) cos(wt) and exp(-kt) sin(wt) at t = lag + n / rate; 60 dB down after decay_s."""
    cos, sin = np.empty(count), np.empty(count)
    fall, omega = math.log(1000) / decay_s, math.tau * hertz
    first = math.exp(-fall * lag)
    cos[:1], sin[:1], done = first * math.cos(omega * lag), first * math.sin(omega * lag), 1
    while done < count:  # angle sums: the known samples, rotated and damped, give as many more
        time, more = done / rate, min(done, count - done)
        c, s = (
            math.exp(-fall * time) * math.cos(omega * time),
            math.exp(-fall * time) * math.sin(omega * time),
        )
        cos[done : done + more] = cos[:more] * c - sin[:more] * s
        sin[done : done + more] = sin[:more] * c + cos[:more] * s
        done += more
    return cos, sin
