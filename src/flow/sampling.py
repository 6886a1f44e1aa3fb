"""From noise to data with chosen solver, schedule and guidance."""

from torch import Tensor

from src.flow.config import Objective, SamplerConfig
from src.flow.diffusion import ddim
from src.flow.dopri5 import dormand_prince
from src.flow.guidance import classifier_free
from src.flow.schedules import solver_times
from src.flow.solvers import SOLVERS, OnStep, Velocity


def sample(
    velocity: Velocity,
    noise: Tensor,
    config: SamplerConfig,
    on_step: OnStep | None = None,
    objective: Objective = "flow_matching",
) -> Tensor:
    """Follow the flow from noise at t = 0 to data at t = 1.

    Args:
        velocity: the model; where `config.uses_guidance` it is called with a doubled batch, prompts first, null
            condition second (see `classifier_free`).
        noise: x_0 [B, ...], standard normal. Given, never drawn here: same noise, same film.
        on_step: called with the step's number and the state after it.
        objective: what the model was trained to predict.

    Raises:
        ValueError: a solver that the objective does not have.
    """
    constant = config.guidance_schedule == "constant"
    scale = config.guidance if constant else config.guidance_scale_at
    guided = classifier_free(velocity, scale) if config.uses_guidance else velocity
    times = solver_times(config)
    if objective == "v_prediction":
        if config.solver != "euler":
            raise ValueError(f"solver={config.solver} is not for v_prediction; use euler (DDIM)")
        return ddim(guided, noise, times, on_step)
    if config.solver == "adaptive":
        return dormand_prince(guided, noise, times, config.tolerance, on_step)
    return SOLVERS[config.solver](guided, noise, times, on_step)
