"""Training objectives: mean squared error of the predicted velocity (Movie Gen, sec. 3.1.2)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from src.flow.config import Objective
from src.flow.diffusion import sample_diffusion_path
from src.flow.path import PathSample, sample_path
from src.flow.solvers import Velocity


def velocity_loss(
    velocity: Velocity,
    data: Tensor,
    noise: Tensor,
    t_B: Tensor,
    objective: Objective = "flow_matching",
    mask: Tensor | None = None,
) -> Tensor:
    """Return the mean squared error of the prediction for each sample, float32 [B].

    Not reduced over the batch, so that it can be reported by flow time or by bucket; the loss is its mean.

    Args:
        objective: "flow_matching" predicts the velocity of the straight path (the paper's), "v_prediction"
            that of the circular path of variance-preserving diffusion.
        mask: bool, broadcast to `data`, True where the error counts, somewhere in each sample; None:
            everywhere.
    """
    point = _sample_path(data, noise, t_B, objective)
    return _error(velocity(point.x_t, t_B), point.velocity, mask)


def packed_velocity_loss(
    velocity: Callable[[list[Tensor], Tensor], list[Tensor]],
    data: Sequence[Tensor],
    noise: Sequence[Tensor],
    t_B: Tensor,
    objective: Objective = "flow_matching",
) -> Tensor:
    """Return `velocity_loss` of videos of different sizes, [C, T, H, W] each; equal weight for each."""
    videos = zip(data, noise, t_B.split(1), strict=True)
    points = [_sample_path(x[None], n[None], t, objective) for x, n, t in videos]
    predictions = velocity([p.x_t[0] for p in points], t_B)
    return torch.cat([_error(v[None], p.velocity) for v, p in zip(predictions, points, strict=True)])


def _sample_path(data: Tensor, noise: Tensor, t_B: Tensor, objective: Objective) -> PathSample:
    return (sample_path if objective == "flow_matching" else sample_diffusion_path)(data, noise, t_B)


def _error(prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    square = (prediction.float() - target.float()).square()
    if mask is None:
        return square.flatten(1).mean(1)
    weight = mask.expand_as(square).float()
    return (square * weight).flatten(1).sum(1) / weight.flatten(1).sum(1)
