"""Bytes that one process sends in a step, from sizes; needs no torch.

A group of g processes gathers or scatters S bytes by sending S (g - 1) / g from each, and sums S bytes that
all of them have by sending twice that (rings). Left out: two scalars a step, and rows that FSDP2 adds where
it cannot cut a tensor evenly. Compared with traces by tests/src/planning/test_exchanges.py.
"""

from dataclasses import dataclass, fields

from src.planning.memory import local_params
from src.planning.mesh import Mesh, RankLoad
from src.planning.workload import Workload


@dataclass(frozen=True)
class SentBytes:
    """Bytes of one process and step, by what they carry."""

    weights: float  # gathered weights and reduced gradients of FSDP2
    copies: float  # gradients between copies of the weights (HSDP)
    tensor: float  # tokens before and after the branches of a block
    context: float  # keys and values, and their gradients
    outputs: float  # predictions of the tokens that others have
    complete: float  # gradients of what tensor parallelism does not cut

    @property
    def total(self) -> float:
        return sum(getattr(self, each.name) for each in fields(self))


def sent_bytes(work: Workload, mesh: Mesh, load: RankLoad, tokens_each: int) -> SentBytes:
    """Return what the process with most samples sends in a step."""
    c, e, f32 = work.transformer, work.element_bytes, 4
    shards, tensor, context = mesh.num_weight_shards, mesh.tensor_parallel, mesh.context_parallel
    rest = work.root_params + work.text_params
    blocks = work.block_params / tensor + work.table_params
    tokens = load.all_samples * tokens_each
    # forward and backward pass, and the forward pass of recomputed blocks
    rounds = 2 + c.num_checkpointed_blocks / c.depth
    # three branches: float32 tokens in front, sums in the products' dtype behind; backwards the opposite
    branches = rounds * c.depth * 3 * (f32 + e) * tokens / context * c.hidden_size
    keys_values = rounds * c.depth * e * tokens * 2 * c.hidden_size / tensor
    values = c.latent_channels * c.patch[0] * c.patch[1] * c.patch[2]
    return SentBytes(
        # blocks gathered twice in the products' dtype, the rest in float32; all reduced in float32
        weights=load.num_micro_batches * ((2 * e + f32) * blocks + 3 * f32 * rest) * _others(shards),
        copies=2 * f32 * local_params(work, mesh) * _others(mesh.dp_replicate),
        tensor=branches * _others(tensor),
        context=keys_values * _others(context),
        outputs=e * tokens * values * _others(mesh.num_peers),
        complete=2 * f32 * (work.table_params + rest) / shards * _others(tensor),
    )


def _others(size: int) -> float:
    """Return the fraction of a group's bytes that one process has to send or to get."""
    return (size - 1) / size
