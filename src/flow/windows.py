"""Sample longer than a model was trained for: MultiDiffusion over windows (Movie Gen, sec. 6.1).

At each evaluation the velocity of every window is computed by itself, and their weighted mean moves the whole
sample (Bar-Tal et al. 2023). Works with every solver and schedule, on any dimension that is time.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from src.flow.solvers import Velocity


def triangular_weights(size: int) -> Tensor:
    """Return weights [size] that rise to the middle and fall again, and never reach 0; float32, at most 1.

    Positions at the first and last sample of a signal are covered by one window alone, so that a weight of 0
    would leave them undefined.
    """
    if size < 1:
        raise ValueError(f"size: expected at least 1, got {size}")
    centers = torch.arange(size, dtype=torch.float32) + 0.5
    return torch.minimum(centers, size - centers) / (size / 2)


def window_starts(num_positions: int, size: int, hop: int) -> list[int]:
    """Return where windows of `size` positions start, every `hop`; the last ends with the signal.

    A signal that is not longer than a window has one.

    Raises:
        ValueError: hop is not in 1..size, so that positions would be left out.
    """
    if not 1 <= hop <= size:
        raise ValueError(f"hop: expected 1 to size={size}, got {hop}")
    last = num_positions - size
    return [0] if last <= 0 else [*range(0, last, hop), last]


def windowed_velocity(
    velocity_in: Callable[[int, int], Velocity], num_positions: int, size: int, hop: int, dim: int = 2
) -> Velocity:
    """Return the velocity of the whole sample from velocities of its windows.

    Args:
        velocity_in: (start, stop) -> velocity of these positions, with their condition. It is called at each
            evaluation, so that one window's condition is held at a time.
        dim: dimension of the sample that is cut.
    """
    starts = window_starts(num_positions, size, hop)
    size = min(size, num_positions)
    weights = triangular_weights(size)

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        shape = [1] * x.ndim
        shape[dim] = size
        weight = weights.to(x.device).view(shape)
        total, sums = torch.zeros_like(x, dtype=torch.float32), x.new_zeros(x.shape[dim], dtype=torch.float32)
        for start in starts:
            part = velocity_in(start, start + size)(x.narrow(dim, start, size), t)
            total.narrow(dim, start, size).add_(part * weight)
            sums[start : start + size] += weights.to(x.device)
        shape[dim] = num_positions
        return total / sums.view(shape)

    return velocity
