"""Flow times for training and for validation; all in [0, 1], 0 is noise."""

import torch
from torch import Tensor


def logit_normal(normal_B: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """t = sigmoid(mean + std n) of standard normal numbers n (spec, section 2.1)."""
    if std <= 0:
        raise ValueError(f"std of the logit-normal times must be positive, got {std}")
    return torch.sigmoid(mean + std * normal_B)


def fixed_times(num: int) -> Tensor:
    """The middles of `num` equal parts of [0, 1]: a validation loss that does not jump with chance."""
    if num < 1:
        raise ValueError(f"number of validation times must be at least 1, got {num}")
    return (torch.arange(num) + 0.5) / num
