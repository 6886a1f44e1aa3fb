"""Timesteps of a solver from noise (0) to data (1): float64 [num_steps + 1], increasing."""

import torch
from torch import Tensor

from src.flow.config import QuadraticStart, SamplerConfig


def linear(num_steps: int) -> Tensor:
    """Return equally spaced timesteps."""
    _check(num_steps)
    return torch.linspace(0, 1, num_steps + 1, dtype=torch.float64)


def cosine(num_steps: int) -> Tensor:
    """Return t_i = 1 - cos(pi i / 2S): short steps near the noise, growing like a sine towards the data."""
    times = 1 - torch.cos(torch.pi / 2 * linear(num_steps))
    times[-1] = 1.0
    return times


def linear_quadratic(
    num_steps: int = 50, num_emulated_steps: int = 250, quadratic_start: QuadraticStart = "continuous"
) -> Tensor:
    """Return the first half of the steps as in a finer linear schedule, the rest growing quadratically.

    Movie Gen, sec. 3.4: 50 steps take the first 25 of 250 linear ones, then 25 cover the rest.

    Args:
        num_steps: number of steps (S); S // 2 of them linear.
        num_emulated_steps: number of steps of the linear schedule (N) that the first half follows.
        quadratic_start: "continuous" keeps the step size at the joint; "zero_slope" restarts the quadratic
            half from a step size of zero, as some implementations do.
    """
    _check(num_steps)
    num_linear = num_steps // 2
    num_quadratic = num_steps - num_linear
    if num_emulated_steps < num_steps:
        raise ValueError(
            f"num_emulated_steps must be at least num_steps={num_steps}, got {num_emulated_steps}"
        )
    h = 1 / num_emulated_steps
    joint = num_linear * h
    start = h * torch.arange(num_linear + 1, dtype=torch.float64)
    k = torch.arange(1, num_quadratic + 1, dtype=torch.float64)
    if quadratic_start == "continuous":
        curvature = (1 - joint - num_quadratic * h) / num_quadratic**2
        rest = joint + h * k + curvature * k**2
    elif quadratic_start == "zero_slope":
        rest = joint + (1 - joint) * (k / num_quadratic) ** 2
    else:
        raise ValueError(f"quadratic_start must be continuous or zero_slope, got {quadratic_start!r}")
    times = torch.cat([start, rest])
    times[-1] = 1.0
    return times


def solver_times(config: SamplerConfig) -> Tensor:
    """Return the timesteps of a sampler config, float64 [num_steps + 1]."""
    if config.schedule == "linear":
        return linear(config.num_steps)
    if config.schedule == "cosine":
        return cosine(config.num_steps)
    return linear_quadratic(config.num_steps, config.num_emulated_steps, config.quadratic_start)


def _check(num_steps: int) -> None:
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
