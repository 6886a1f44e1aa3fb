"""Dormand-Prince 5(4) with adaptive step size: a reference solution for the fixed schedules.

Implemented here because the method is a table and torchdiffeq has had no release since 2024.
"""

import torch
from torch import Tensor

from src.flow.solvers import OnStep, Velocity, expand_time

# Butcher tableau (Dormand and Prince, 1980): nodes, stages, and fifth minus fourth order weights.
NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
SAFETY, MIN_FACTOR, MAX_FACTOR = 0.9, 0.2, 5.0  # bounds of the change of step size
MIN_STEP = 1e-7


def dopri5(
    velocity: Velocity, x: Tensor, times: Tensor, tolerance: float, on_step: OnStep | None = None
) -> Tensor:
    """Integrate from the first to the last of `times`, with the largest steps that the tolerance allows.

    Args:
        times: only the first two and the last are used: start, initial step and end.
        tolerance: maximum error of a step, relative and absolute, root mean square over a sample. All samples
            of a batch share their steps, so the worst one decides.
        on_step: called after each accepted step.

    Raises:
        ValueError: the tolerance needs steps below the minimum.
    """
    t, end = float(times[0]), float(times[-1])
    step = float(times[1]) - t
    slope = velocity(x, expand_time(t, x)).to(x.dtype)
    num_steps = 0
    while t < end:
        step = min(step, end - t)
        slopes = [slope]
        for node, weights in zip(NODES, STAGES, strict=True):
            point = x + step * _combine(weights, slopes)
            slopes.append(velocity(point, expand_time(t + node * step, x)).to(x.dtype))
        # First same as last: the last stage's point is the solution, and its slope starts the next step.
        error = step * _combine(ERROR, slopes)
        ratio = _error_ratio(error, x, point, tolerance)
        if ratio <= 1:
            last = step >= end - t
            t, x, slope = end if last else t + step, point, slopes[-1]
            if on_step is not None:
                on_step(num_steps, x)
            num_steps += 1
        step *= MAX_FACTOR if ratio == 0 else min(MAX_FACTOR, max(MIN_FACTOR, SAFETY * ratio**-0.2))
        if t < end and step < MIN_STEP:
            raise ValueError(f"tolerance={tolerance} needs steps below {MIN_STEP}; use a larger tolerance")
    return x


def _combine(weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    total = torch.zeros_like(slopes[0])
    for weight, slope in zip(weights, slopes, strict=True):
        if weight:
            total = total + weight * slope
    return total


def _error_ratio(error: Tensor, before: Tensor, after: Tensor, tolerance: float) -> float:
    """Return the error relative to the tolerance, of the worst sample; infinite for NaN."""
    allowed = tolerance * (1 + torch.maximum(before.abs(), after.abs()))
    ratio = (error / allowed).float().flatten(1).square().mean(1).sqrt().max()
    return float(ratio) if torch.isfinite(ratio) else float("inf")
