"""Build the configured optimizer over named parameters, in groups with and without weight decay."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from src.training.config import TrainConfig
from src.training.optim.muon import Muon, is_hidden_matrix


def build_optimizer(
    named: list[tuple[str, nn.Parameter]], config: TrainConfig, *, dtype: torch.dtype, sharded: bool
) -> torch.optim.AdamW:
    """Return AdamW, or Muon for hidden matrices with AdamW for the rest; frozen parameters are left out.

    Args:
        dtype: of Muon's matrix products.
        sharded: whether parameters are DTensors.
    """
    named = [(n, p) for n, p in named if p.requires_grad]
    hidden = {n for n, p in named if config.optimizer == "muon" and is_hidden_matrix(n, p)}
    rest = [p for n, p in named if n not in hidden]
    groups = [
        {"params": [p for p in rest if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p.dim() <= 1], "weight_decay": 0.0},
    ]
    optimizer: Callable[..., torch.optim.AdamW] = torch.optim.AdamW
    if config.optimizer == "muon":
        optimizer = partial(Muon, dtype=dtype)
        matrices = [p for n, p in named if n in hidden]
        groups.append({"params": matrices, "weight_decay": config.weight_decay, "matrices": True})
    groups = [group for group in groups if group["params"]]
    # The fused step reads each weight once, but is not implemented for shards on every device.
    implementation = {"foreach": True} if sharded else {"fused": True}
    return optimizer(groups, lr=config.lr, betas=(config.beta1, config.beta2), **implementation)
