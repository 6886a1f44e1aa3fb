"""Flow matching: path, times, schedules, solvers, guidance. Pure functions; noise is always passed in."""

from src.flow.diffusion import diffusion_path
from src.flow.loss import Objective, packed_velocity_loss, velocity_loss
from src.flow.path import PathSample, path, predict_data
from src.flow.sampling import SamplerConfig, sample
from src.flow.timesteps import Times, fixed_times, logit_normal, times_of

__all__ = [
    "Objective",
    "PathSample",
    "SamplerConfig",
    "Times",
    "diffusion_path",
    "fixed_times",
    "logit_normal",
    "packed_velocity_loss",
    "path",
    "predict_data",
    "sample",
    "times_of",
    "velocity_loss",
]
