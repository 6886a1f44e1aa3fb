"""From noise to data with chosen solver, schedule and guidance."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from src.flow.guidance import classifier_free
from src.flow.schedules import Variant, linear, linear_quadratic
from src.flow.solvers import SOLVERS, OnStep, Velocity
from src.options import opt


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """How to sample. The defaults are the paper's (spec, section 6.2)."""

    solver: Literal["euler", "midpoint"] = opt("euler", "solver of the flow")
    schedule: Literal["linear-quadratic", "linear"] = opt("linear-quadratic", "where the solver stops")
    steps: int = opt(50, "number of steps")
    emulated_steps: int = opt(250, "linear steps that the linear-quadratic schedule stands for")
    variant: Variant = opt("continuous", "joint of the linear-quadratic schedule: continuous or zero_slope")
    guidance: float = opt(7.5, "scale of classifier-free guidance; 1 turns it off and halves the work")

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        if self.schedule == "linear-quadratic" and self.emulated_steps < self.steps:
            raise ValueError(f"emulated_steps must be at least steps={self.steps}, got {self.emulated_steps}")
        if self.guidance < 0:
            raise ValueError(f"guidance must not be negative, got {self.guidance}")

    def times(self) -> Tensor:
        """Stops of the solver, float64 [steps + 1]."""
        if self.schedule == "linear":
            return linear(self.steps)
        return linear_quadratic(self.steps, self.emulated_steps, self.variant)


def sample(velocity: Velocity, noise: Tensor, config: SamplerConfig, on_step: OnStep | None = None) -> Tensor:
    """Follow the flow from noise at t = 0 to data at t = 1.

    Args:
        velocity: the model; with guidance other than 1 it is called with a doubled batch, prompts
            first, null condition second (see `classifier_free`).
        noise: x_0 [B, ...], standard normal. Given, never drawn here: same noise, same film.
        on_step: called with the step's number and the state after it.
    """
    guided = velocity if config.guidance == 1 else classifier_free(velocity, config.guidance)
    return SOLVERS[config.solver](guided, noise, config.times(), on_step)
