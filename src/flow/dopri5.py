"""Dormand-Prince 5(4) with step size control: an exact answer to compare the fixed schedules with.

Written here because the one library for it has not seen a release since 2024 and the method is a table.
"""

import torch
from torch import Tensor

from src.flow.solvers import OnStep, Velocity, at_time

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
SAFETY, SHRINK, GROW = 0.9, 0.2, 5.0
SMALLEST_STEP = 1e-7


def dormand_prince(
    velocity: Velocity, x: Tensor, times: Tensor, tolerance: float, on_step: OnStep | None = None
) -> Tensor:
    """From the first to the last of `times`, in steps as long as the tolerance allows.

    Args:
        times: only its ends count; its first step is tried first.
        tolerance: largest error of a step, relative and absolute, root mean square over a sample. The
            samples of a batch share their steps, so the worst of them decides.
        on_step: called after each accepted step.

    Raises:
        ValueError: no step is short enough for the tolerance.
    """
    t, end = float(times[0]), float(times[-1])
    step = float(times[1]) - t
    slope = velocity(x, at_time(t, x)).to(x.dtype)
    count = 0
    while t < end:
        step = min(step, end - t)
        slopes = [slope]
        for node, weights in zip(NODES, STAGES, strict=True):
            point = x + step * _combine(weights, slopes)
            slopes.append(velocity(point, at_time(t + node * step, x)).to(x.dtype))
        # The last stage's point is the fifth-order solution: its slope is the next step's first.
        error = step * _combine(ERROR, slopes)
        ratio = _ratio(error, x, point, tolerance)
        if ratio <= 1:
            last = step >= end - t
            t, x, slope = end if last else t + step, point, slopes[-1]
            if on_step is not None:
                on_step(count, x)
            count += 1
        step *= GROW if ratio == 0 else min(GROW, max(SHRINK, SAFETY * ratio**-0.2))
        if t < end and step < SMALLEST_STEP:
            raise ValueError(f"tolerance={tolerance} needs steps below {SMALLEST_STEP}; give a larger one")
    return x


def _combine(weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    total = torch.zeros_like(slopes[0])
    for weight, slope in zip(weights, slopes, strict=True):
        if weight:
            total = total + weight * slope
    return total


def _ratio(error: Tensor, before: Tensor, after: Tensor, tolerance: float) -> float:
    """Error over what is allowed, of the worst sample."""
    allowed = tolerance * (1 + torch.maximum(before.abs(), after.abs()))
    ratio = (error / allowed).float().flatten(1).square().mean(1).sqrt().max()
    return float(ratio) if torch.isfinite(ratio) else float("inf")
