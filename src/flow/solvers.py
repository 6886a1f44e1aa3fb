"""Solvers of dx/dt = v(x, t): from the first of the given times to the last."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]  # (x [B, ...], t [B]) -> dx/dt [B, ...]
OnStep = Callable[[int, Tensor], None]


def euler(velocity: Velocity, x: Tensor, times: Tensor, on_step: OnStep | None = None) -> Tensor:
    """One evaluation a step; exact where the velocity is constant along the path."""
    for i, (t, step) in enumerate(_steps(times)):
        x = x + step * velocity(x, at_time(t, x)).to(x.dtype)
        if on_step is not None:
            on_step(i, x)
    return x


def midpoint(velocity: Velocity, x: Tensor, times: Tensor, on_step: OnStep | None = None) -> Tensor:
    """Two evaluations a step, error of second order."""
    for i, (t, step) in enumerate(_steps(times)):
        half = x + step / 2 * velocity(x, at_time(t, x)).to(x.dtype)
        x = x + step * velocity(half, at_time(t + step / 2, x)).to(x.dtype)
        if on_step is not None:
            on_step(i, x)
    return x


SOLVERS: dict[str, Callable[[Velocity, Tensor, Tensor, OnStep | None], Tensor]] = {
    "euler": euler,
    "midpoint": midpoint,
}


def _steps(times: Tensor) -> list[tuple[float, float]]:
    """Each step's start and length, in double precision."""
    points = times.double().tolist()
    return [(start, end - start) for start, end in pairwise(points)]


def at_time(t: float, x: Tensor) -> Tensor:
    """One time for a whole batch, [B]; single precision unless x is double."""
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    return torch.full((x.shape[0],), t, dtype=dtype, device=x.device)
