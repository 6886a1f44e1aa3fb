"""Training objectives: plain mean squared error of what the model predicts (spec, sections 2.1 and 2.5)."""

from typing import Literal

from torch import Tensor

from src.flow.diffusion import diffusion_path
from src.flow.path import path
from src.flow.solvers import Velocity

Objective = Literal["flow_matching", "v_prediction"]


def velocity_loss(
    velocity: Velocity, data: Tensor, noise: Tensor, t_B: Tensor, objective: Objective = "flow_matching"
) -> Tensor:
    """Squared error of the prediction, averaged over everything but the batch: float32 [B].

    Args:
        objective: "flow_matching" predicts the velocity of the straight path (the paper's), "v_prediction"
            that of the circular path of variance-preserving diffusion.

    The mean of it is the loss; unreduced it can be reported by band of time or by bucket.
    """
    point = path(data, noise, t_B) if objective == "flow_matching" else diffusion_path(data, noise, t_B)
    error = velocity(point.x_t, t_B).float() - point.velocity.float()
    return error.square().flatten(1).mean(1)
