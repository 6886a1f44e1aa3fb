"""Build the configured optimizer over the parameters of networks, in groups with and without weight decay."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from src.models.tae.temporal import Conv3d, TemporalConv
from src.training.config import TrainConfig
from src.training.optim.adamw import AdamW
from src.training.optim.muon import Muon, is_hidden_matrix

DECAYED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, Conv3d, TemporalConv)


def decayed_weights(net: nn.Module) -> set[Tensor]:
    """Return the parameters with weight decay: the weights of linear and convolution layers.

    Decay would shrink gains towards zero although they belong at one, and position and modulation tables,
    which are added to larger values, until they no longer count.
    """
    return {module.weight for module in net.modules() if isinstance(module, DECAYED)}


def build_optimizer(nets: Sequence[nn.Module], config: TrainConfig, *, dtype: torch.dtype) -> AdamW:
    """Return AdamW, or Muon for hidden matrices with AdamW for the rest; frozen parameters are left out.

    Args:
        dtype: of Muon's matrix products.
    """
    named = [(n, p) for net in nets for n, p in net.named_parameters() if p.requires_grad]
    decayed = {weight for net in nets for weight in decayed_weights(net)}
    hidden = {p for n, p in named if config.optimizer == "muon" and is_hidden_matrix(n, p)}
    rest = [p for _, p in named if p not in hidden]
    groups = [
        {"params": [p for p in rest if p in decayed], "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p not in decayed], "weight_decay": 0.0},
    ]
    optimizer: Callable[..., AdamW] = AdamW
    if config.optimizer == "muon":
        optimizer = partial(Muon, dtype=dtype)
        matrices = [p for _, p in named if p in hidden]
        groups.append({"params": matrices, "weight_decay": config.weight_decay, "matrices": True})
    groups = [group for group in groups if group["params"]]
    settings = {"lr": config.lr, "betas": (config.beta1, config.beta2)}
    return optimizer(groups, offload=config.parallel.offload_optimizer, **settings)
