"""From noise to data with chosen solver, schedule and guidance."""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from src.core.fields import opt
from src.flow.diffusion import ddim
from src.flow.dopri5 import dormand_prince
from src.flow.guidance import classifier_free
from src.flow.loss import Objective
from src.flow.schedules import Variant, cosine, linear, linear_quadratic
from src.flow.solvers import SOLVERS, OnStep, Velocity


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """How to sample. The defaults are the paper's (spec, section 6.2)."""

    solver: Literal["euler", "midpoint", "adaptive"] = opt(
        "euler",
        "solver of the flow; adaptive (Dormand-Prince) chooses its steps; diffusion: euler (DDIM)",
    )
    schedule: Literal["linear-quadratic", "linear", "cosine"] = opt(
        "linear-quadratic", "where the solver stops"
    )
    steps: int = opt(50, "number of steps")
    tolerance: float = opt(1e-3, "error of a step that the adaptive solver allows, relative and absolute")
    emulated_steps: int = opt(250, "linear steps that the linear-quadratic schedule stands for")
    variant: Variant = opt("continuous", "joint of the linear-quadratic schedule: continuous or zero_slope")
    guidance: float = opt(7.5, "scale of classifier-free guidance; 1 turns it off and halves the work")
    guidance_schedule: Literal["constant", "linear", "cosine"] = opt(
        "constant", "scale over time: constant, or from guidance at the noise to guidance_end at the data"
    )
    guidance_end: float = opt(1.0, "scale at the data end of a linear or cosine guidance_schedule")

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        if self.schedule == "linear-quadratic" and self.emulated_steps < self.steps:
            raise ValueError(f"emulated_steps must be at least steps={self.steps}, got {self.emulated_steps}")
        for name in ("guidance", "guidance_end"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.tolerance <= 0:
            raise ValueError(f"tolerance must be positive, got {self.tolerance}")

    @property
    def guided(self) -> bool:
        """True where the model is asked for the null condition too."""
        return self.guidance != 1 or (self.guidance_schedule != "constant" and self.guidance_end != 1)

    def times(self) -> Tensor:
        """Stops of the solver, float64 [steps + 1]."""
        if self.schedule == "linear":
            return linear(self.steps)
        if self.schedule == "cosine":
            return cosine(self.steps)
        return linear_quadratic(self.steps, self.emulated_steps, self.variant)

    def scale(self, t: float) -> float:
        """The scale of guidance at a time in [0, 1]."""
        if self.guidance_schedule == "constant":
            return self.guidance
        share = t if self.guidance_schedule == "linear" else (1 - math.cos(math.pi * t)) / 2
        return self.guidance + (self.guidance_end - self.guidance) * share


def sample(
    velocity: Velocity,
    noise: Tensor,
    config: SamplerConfig,
    on_step: OnStep | None = None,
    objective: Objective = "flow_matching",
) -> Tensor:
    """Follow the flow from noise at t = 0 to data at t = 1.

    Args:
        velocity: the model; where `config.guided` it is called with a doubled batch, prompts first, null
            condition second (see `classifier_free`).
        noise: x_0 [B, ...], standard normal. Given, never drawn here: same noise, same film.
        on_step: called with the step's number and the state after it.
        objective: what the model was trained to predict.

    Raises:
        ValueError: a solver that the objective does not have.
    """
    constant = config.guidance_schedule == "constant"
    scale = config.guidance if constant else config.scale
    guided = classifier_free(velocity, scale) if config.guided else velocity
    if objective == "v_prediction":
        if config.solver != "euler":
            raise ValueError(f"solver={config.solver} is not for v_prediction; use euler (DDIM)")
        return ddim(guided, noise, config.times(), on_step)
    if config.solver == "adaptive":
        return dormand_prince(guided, noise, config.times(), config.tolerance, on_step)
    return SOLVERS[config.solver](guided, noise, config.times(), on_step)
