"""Exponential moving average of a network's weights; on this process's shards, without communication."""

import torch
from torch import nn

from src.parallel.fsdp import to_local


@torch.no_grad()
def move_towards(average: nn.Module, net: nn.Module, weight: float) -> None:
    """Move each weight of the average by `weight` of the way; buffers are copied."""
    torch._foreach_lerp_(
        [to_local(p) for p in average.parameters()], [to_local(p.detach()) for p in net.parameters()], weight
    )
    _copy_buffers(average, net)


@torch.no_grad()
def copy_weights(average: nn.Module, net: nn.Module) -> None:
    """Set the average to the network's weights."""
    for target, source in zip(average.parameters(), net.parameters(), strict=True):
        to_local(target).copy_(to_local(source))
    _copy_buffers(average, net)


def _copy_buffers(average: nn.Module, net: nn.Module) -> None:
    for target, source in zip(average.buffers(), net.buffers(), strict=True):
        target.copy_(source)
