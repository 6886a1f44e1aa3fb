"""Flow times of training and validation, in [0, 1]; 0 is noise."""

import torch
from torch import Tensor

from src.flow.config import TimeDistribution


def logit_normal(normal_B: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Return t = sigmoid(mean + std n) of standard normal numbers n (Movie Gen, sec. 3.1.2)."""
    if std <= 0:
        raise ValueError(f"std of the logit-normal times must be positive, got {std}")
    return torch.sigmoid(mean + std * normal_B)


def times_from_normal(
    normal_B: Tensor, distribution: TimeDistribution, mean: float = 0.0, std: float = 1.0
) -> Tensor:
    """Map standard normal numbers to flow times, so that every distribution uses the same draws.

    Args:
        distribution: "logit-normal", or "uniform" in [0, 1], which ignores mean and std.
    """
    if distribution == "uniform":
        uniform_B: Tensor = torch.special.ndtr(normal_B.double())
        return uniform_B.to(normal_B.dtype)
    return logit_normal(normal_B, mean, std)


def fixed_times(num: int) -> Tensor:
    """Return the midpoints of `num` equal parts of [0, 1], for a validation loss without sampling noise."""
    if num < 1:
        raise ValueError(f"number of validation times must be at least 1, got {num}")
    return (torch.arange(num) + 0.5) / num
