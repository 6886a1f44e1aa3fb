"""Classifier-free guidance."""

from collections.abc import Callable

import torch
from torch import Tensor

from src.flow.solvers import Velocity


def classifier_free(velocity: Velocity, scale: float | Callable[[float], float]) -> Velocity:
    """v = v_null + scale (v_cond - v_null), both from one evaluation of a doubled batch (spec, 2.4).

    Args:
        velocity: called with a batch of 2B, whose first half it must condition on the prompts and
            whose second half on the null condition (or a negative prompt), row by row.
        scale: 1 is no guidance, 7.5 the paper's choice; or a function of the time, which is the same
            for the whole batch.
    """

    def guided(x: Tensor, t_B: Tensor) -> Tensor:
        both = velocity(torch.cat([x, x]), torch.cat([t_B, t_B])).to(x.dtype)
        conditional, null = both.chunk(2)
        weight = scale(float(t_B[0])) if callable(scale) else scale
        return null + weight * (conditional - null)

    return guided
