"""Flow matching: path, times, schedules, solvers, guidance. Pure functions; noise is always passed in."""

from src.flow.objective import flow_matching_loss
from src.flow.path import PathSample, path, predict_data
from src.flow.sampling import SamplerConfig, sample
from src.flow.times import fixed_times, logit_normal

__all__ = [
    "PathSample",
    "SamplerConfig",
    "fixed_times",
    "flow_matching_loss",
    "logit_normal",
    "path",
    "predict_data",
    "sample",
]
