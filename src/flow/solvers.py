"""Solvers of the ODE dx/dt = v(x, t), from the first of the given times to the last."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]  # (x [B, ...], t [B]) -> dx/dt [B, ...]
OnStep = Callable[[int, Tensor], None]


def euler(velocity: Velocity, x: Tensor, times: Tensor, on_step: OnStep | None = None) -> Tensor:
    """Integrate with one evaluation per step; exact where the velocity is constant along the path."""
    for i, (t, step) in enumerate(_steps(times)):
        x = x + step * velocity(x, expand_time(t, x)).to(x.dtype)
        if on_step is not None:
            on_step(i, x)
    return x


def midpoint(velocity: Velocity, x: Tensor, times: Tensor, on_step: OnStep | None = None) -> Tensor:
    """Integrate with two evaluations per step, of second order."""
    for i, (t, step) in enumerate(_steps(times)):
        half = x + step / 2 * velocity(x, expand_time(t, x)).to(x.dtype)
        x = x + step * velocity(half, expand_time(t + step / 2, x)).to(x.dtype)
        if on_step is not None:
            on_step(i, x)
    return x


SOLVERS: dict[str, Callable[[Velocity, Tensor, Tensor, OnStep | None], Tensor]] = {
    "euler": euler,
    "midpoint": midpoint,
}


def _steps(times: Tensor) -> list[tuple[float, float]]:
    """Return the start and length of each step, in double precision."""
    points = times.double().tolist()
    return [(start, end - start) for start, end in pairwise(points)]


def expand_time(t: float, x: Tensor) -> Tensor:
    """Return a time for every sample of x, [B]; float32 unless x is float64."""
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    return torch.full((x.shape[0],), t, dtype=dtype, device=x.device)
