"""From a model's constructor to the network that trains: compile, shard, initialise, in this order.

Activation checkpointing happens inside the models' block loops and comes before all of it.
"""

from collections.abc import Callable

import torch
from torch import nn

from src.parallel.fsdp import Layout, compile_groups, shard
from src.parallel.meta_init import fill_sharded, initialise


def build_network(factory: Callable[[], nn.Module], seed: int, layout: Layout) -> nn.Module:
    """Build a network on its layout; its weights depend on `seed` and the names in it only.

    On a mesh the network is built on the meta device, sharded, and filled group by group, so that no
    process ever holds it whole. Values equal those of a single process, bit for bit.
    """
    if layout.mesh is None:
        net = factory()
        initialise(net, seed)
        compile_groups(net, layout)
        return net
    with torch.device("meta"):
        net, shadow = factory(), factory()
    compile_groups(net, layout)
    shard(net, layout)
    net.to_empty(device=layout.device)
    fill_sharded(net, shadow, seed)
    return net
