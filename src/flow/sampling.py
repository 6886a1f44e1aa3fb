"""Sampling with a solver, a schedule and guidance."""

from torch import Tensor

from src.flow.config import Objective, SamplerConfig
from src.flow.diffusion import ddim
from src.flow.dopri5 import dopri5
from src.flow.guidance import classifier_free_guidance
from src.flow.schedules import solver_times
from src.flow.solvers import SOLVERS, OnStep, Velocity


def sample(
    velocity: Velocity,
    noise: Tensor,
    config: SamplerConfig,
    on_step: OnStep | None = None,
    objective: Objective = "flow_matching",
) -> Tensor:
    """Integrate the flow from noise at t = 0 to data at t = 1.

    Args:
        velocity: the model; with `config.uses_guidance` it is called with a doubled batch, prompts first,
            null condition second (see `classifier_free_guidance`).
        noise: x_0 [B, ...], standard normal; the same noise gives the same sample.
        on_step: called with the index of the step and the state after it.
        objective: prediction target of the model.

    Raises:
        ValueError: the solver does not support the objective.
    """
    constant = config.guidance_schedule == "constant"
    scale = config.guidance_scale if constant else config.guidance_scale_at
    guided = classifier_free_guidance(velocity, scale) if config.uses_guidance else velocity
    times = solver_times(config)
    if objective == "v_prediction":
        if config.solver != "euler":
            raise ValueError(f"solver={config.solver} does not support v_prediction; use euler (DDIM)")
        return ddim(guided, noise, times, on_step)
    if config.solver == "adaptive":
        return dopri5(guided, noise, times, config.tolerance, on_step)
    return SOLVERS[config.solver](guided, noise, times, on_step)
