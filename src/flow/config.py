"""Choices of training objective and sampler; imports no torch."""

import math
from dataclasses import dataclass
from typing import Literal

from src.core.fields import Config, opt

Objective = Literal["flow_matching", "v_prediction"]
TimeDistribution = Literal["logit-normal", "uniform"]
Solver = Literal["euler", "midpoint", "adaptive"]
Schedule = Literal["linear-quadratic", "linear", "cosine"]
QuadraticStart = Literal["continuous", "zero_slope"]
GuidanceSchedule = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True, kw_only=True)
class SamplerConfig(Config):
    """Solver, schedule and guidance of sampling. The defaults are the paper's (Movie Gen, sec. 3.4)."""

    solver: Solver = opt(
        "euler",
        "ODE solver; adaptive (Dormand-Prince) chooses its own steps; v_prediction: euler (DDIM)",
    )
    schedule: Schedule = opt("linear-quadratic", "spacing of the solver's timesteps")
    num_steps: int = opt(50, "number of solver steps", ge=1)
    tolerance: float = opt(1e-3, "error per step of the adaptive solver, relative and absolute", gt=0)
    num_emulated_steps: int = opt(250, "number of linear steps that the linear-quadratic schedule emulates")
    quadratic_start: QuadraticStart = opt(
        "continuous", "start of the quadratic half of linear-quadratic: continuous step size, or zero_slope"
    )
    guidance_scale: float = opt(
        7.5, "scale of classifier-free guidance; 1 turns it off and halves the compute", ge=0
    )
    guidance_schedule: GuidanceSchedule = opt(
        "constant",
        "scale over time: constant, or from guidance_scale at the noise to guidance_scale_end at the data",
    )
    guidance_scale_end: float = opt(
        1.0, "scale at the data end of a linear or cosine guidance_schedule", ge=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schedule == "linear-quadratic" and self.num_emulated_steps < self.num_steps:
            raise ValueError(
                f"num_emulated_steps must be at least num_steps={self.num_steps}, "
                f"got {self.num_emulated_steps}"
            )

    @property
    def uses_guidance(self) -> bool:
        """True if each step also evaluates the null condition."""
        return self.guidance_scale != 1 or (
            self.guidance_schedule != "constant" and self.guidance_scale_end != 1
        )

    def guidance_scale_at(self, t: float) -> float:
        """Return the guidance scale at a flow time in [0, 1]."""
        if self.guidance_schedule == "constant":
            return self.guidance_scale
        fraction = t if self.guidance_schedule == "linear" else (1 - math.cos(math.pi * t)) / 2
        return self.guidance_scale + (self.guidance_scale_end - self.guidance_scale) * fraction
