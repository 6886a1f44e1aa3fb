"""The training objective: plain mean squared error of the velocity (spec, section 2.1)."""

from torch import Tensor

from src.flow.path import path
from src.flow.solvers import Velocity


def flow_matching_loss(velocity: Velocity, data: Tensor, noise: Tensor, t_B: Tensor) -> Tensor:
    """Squared error of the predicted velocity, averaged over everything but the batch: float32 [B].

    The mean of it is the paper's loss; unreduced it can be reported by band of time or by bucket.
    """
    point = path(data, noise, t_B)
    error = velocity(point.x_t, t_B).float() - point.velocity.float()
    return error.square().flatten(1).mean(1)
