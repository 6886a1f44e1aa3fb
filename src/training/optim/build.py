"""The optimiser that a config names, over named parameters in groups: matrices decay, vectors do not."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from src.training.config import TrainConfig
from src.training.optim.muon import Muon, is_hidden_matrix


def build_optimizer(
    named: list[tuple[str, nn.Parameter]], config: TrainConfig, *, dtype: torch.dtype, sharded: bool
) -> torch.optim.AdamW:
    """AdamW, or Muon for hidden matrices and AdamW for the rest; what is frozen is left out.

    Args:
        dtype: of Muon's products.
    """
    named = [(n, p) for n, p in named if p.requires_grad]
    hidden = {n for n, p in named if config.optimizer == "muon" and is_hidden_matrix(n, p)}
    rest = [p for n, p in named if n not in hidden]
    groups = [
        {"params": [p for p in rest if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p.dim() <= 1], "weight_decay": 0.0},
    ]
    kind: Callable[..., torch.optim.AdamW] = torch.optim.AdamW
    if config.optimizer == "muon":
        kind = partial(Muon, dtype=dtype)
        matrices = [p for n, p in named if n in hidden]
        groups.append({"params": matrices, "weight_decay": config.weight_decay, "matrices": True})
    groups = [group for group in groups if group["params"]]
    # The fused step reads each weight once; on shards it is not offered everywhere.
    how = {"foreach": True} if sharded else {"fused": True}
    return kind(groups, lr=config.lr, betas=(config.beta1, config.beta2), **how)
