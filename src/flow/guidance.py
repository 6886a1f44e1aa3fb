"""Classifier-free guidance."""

from collections.abc import Callable

import torch
from torch import Tensor

from src.flow.solvers import Velocity


def classifier_free_guidance(velocity: Velocity, scale: float | Callable[[float], float]) -> Velocity:
    """Return the velocity v_null + scale (v_cond - v_null) (Movie Gen, sec. 3.4).

    Args:
        velocity: called with a batch of 2B: both terms come from one evaluation. It conditions the first half
            on the prompts and the second half on the null condition (or a negative prompt), row by row.
        scale: 1 is no guidance (the paper: 7.5); or a function of the time, which all rows share.
    """

    def guided(x: Tensor, t_B: Tensor) -> Tensor:
        both = velocity(torch.cat([x, x]), torch.cat([t_B, t_B])).to(x.dtype)
        conditional, null = both.chunk(2)
        weight = scale(float(t_B[0])) if callable(scale) else scale
        return null + weight * (conditional - null)

    return guided
