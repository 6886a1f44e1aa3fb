"""Training objectives: plain mean squared error of what the model predicts (spec, sections 2.1 and 2.5)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from src.flow.config import Objective
from src.flow.diffusion import diffusion_path
from src.flow.path import PathSample, path
from src.flow.solvers import Velocity


def velocity_loss(
    velocity: Velocity, data: Tensor, noise: Tensor, t_B: Tensor, objective: Objective = "flow_matching"
) -> Tensor:
    """Squared error of the prediction, averaged over everything but the batch: float32 [B].

    Args:
        objective: "flow_matching" predicts the velocity of the straight path (the paper's), "v_prediction"
            that of the circular path of variance-preserving diffusion.

    The mean of it is the loss; unreduced it can be reported by band of time or by bucket.
    """
    point = _point(data, noise, t_B, objective)
    return _error(velocity(point.x_t, t_B), point.velocity)


def packed_velocity_loss(
    velocity: Callable[[list[Tensor], Tensor], list[Tensor]],
    data: Sequence[Tensor],
    noise: Sequence[Tensor],
    t_B: Tensor,
    objective: Objective = "flow_matching",
) -> Tensor:
    """`velocity_loss` of films of different sizes, [C, T, H, W] each; every film counts alike."""
    films = zip(data, noise, t_B.split(1), strict=True)
    points = [_point(x[None], n[None], t, objective) for x, n, t in films]
    made = velocity([p.x_t[0] for p in points], t_B)
    return torch.cat([_error(v[None], p.velocity) for v, p in zip(made, points, strict=True)])


def _point(data: Tensor, noise: Tensor, t_B: Tensor, objective: Objective) -> PathSample:
    return (path if objective == "flow_matching" else diffusion_path)(data, noise, t_B)


def _error(made: Tensor, wanted: Tensor) -> Tensor:
    return (made.float() - wanted.float()).square().flatten(1).mean(1)
