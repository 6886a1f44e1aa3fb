"""Flow times for training and for validation; all in [0, 1], 0 is noise."""

import torch
from torch import Tensor

from src.flow.config import TimeDistribution


def logit_normal(normal_B: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """t = sigmoid(mean + std n) of standard normal numbers n (spec, section 2.1)."""
    if std <= 0:
        raise ValueError(f"std of the logit-normal times must be positive, got {std}")
    return torch.sigmoid(mean + std * normal_B)


def times_of(normal_B: Tensor, kind: TimeDistribution, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Flow times of one distribution, made from standard normal numbers so that the draws are the same.

    Args:
        kind: "logit-normal", or "uniform" in [0, 1] (mean and std play no part).
    """
    if kind == "uniform":
        return torch.special.ndtr(normal_B.double()).to(normal_B.dtype)
    return logit_normal(normal_B, mean, std)


def fixed_times(num: int) -> Tensor:
    """The middles of `num` equal parts of [0, 1]: a validation loss that does not jump with chance."""
    if num < 1:
        raise ValueError(f"number of validation times must be at least 1, got {num}")
    return (torch.arange(num) + 0.5) / num
