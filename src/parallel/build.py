"""Build a network from its constructor: cut, compile, shard, initialize, in this order.

Activation checkpointing happens inside the models' block loops and comes before all of it.
"""

from collections.abc import Callable

import torch
from torch import nn

from src.parallel.fsdp import ParallelContext, compile_groups, shard
from src.parallel.meta_init import initialize, initialize_sharded
from src.parallel.tensor_parallel import cut_weights


def build_network(factory: Callable[[], nn.Module], seed: int, context: ParallelContext) -> nn.Module:
    """Build a network, sharded over the mesh if there is one.

    Initial weights depend on `seed` and on module paths only, so one process and many have the same, bit for
    bit. On a mesh the network is built on the meta device, sharded, and filled group by group, so that no
    process ever holds all of it.
    """
    if context.mesh is None:
        net = factory()
        initialize(net, seed)
        compile_groups(net, context)
        return net
    with torch.device("meta"):
        net, shadow = factory(), factory()
    if context.tensor_mesh is not None:
        cut_weights(net, context.tensor_mesh)
    if context.cut_tokens is not None and hasattr(net, "cut_tokens"):
        net.cut_tokens = context.cut_tokens  # type: ignore[assignment]  # an attribute of the model
    compile_groups(net, context)
    shard(net, context)
    net.to_empty(device=context.device)
    initialize_sharded(net, shadow, seed)
    return net
