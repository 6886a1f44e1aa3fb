"""Classifier-free guidance."""

from collections.abc import Callable, Sequence

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


def nested_guidance(velocity: Velocity, scales: Sequence[float]) -> Velocity:
    """Return v_null + sum of scale_k (v_k - v_(k+1)): each condition has a scale of its own, given the later
    ones.

    Args:
        velocity: called with one batch for each scale and one more. The first is conditioned on everything,
            each further one on less, the last on nothing.
        scales: of what each batch has beyond the next.
    """

    def guided(x: Tensor, t_B: Tensor) -> Tensor:
        num_parts = len(scales) + 1
        parts = (
            velocity(torch.cat([x] * num_parts), torch.cat([t_B] * num_parts)).to(x.dtype).chunk(num_parts)
        )
        total = parts[-1]
        for scale, more, less in zip(scales, parts, parts[1:], strict=False):
            total = total + scale * (more - less)
        return total

    return guided
