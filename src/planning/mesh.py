"""Meshes to compare, and how a global batch falls on them; needs no torch."""

from collections.abc import Iterator
from dataclasses import dataclass

from src.models.transformer.config import TransformerConfig
from src.streaming.rank_slices import largest_slice

MAX_CONTEXT = 16
GATE_GROUPS = 8  # `src.models.nn.fused_linear`: how many parts of gate and up fit together


@dataclass(frozen=True, order=True)
class Mesh:
    """dp_replicate x dp_shard x context_parallel x tensor_parallel."""

    dp_replicate: int
    dp_shard: int
    context_parallel: int
    tensor_parallel: int

    @property
    def num_gpus(self) -> int:
        return self.dp_replicate * self.num_weight_shards * self.tensor_parallel

    @property
    def num_peers(self) -> int:
        return self.context_parallel * self.tensor_parallel

    @property
    def num_data_ranks(self) -> int:
        return self.dp_replicate * self.dp_shard

    @property
    def num_weight_shards(self) -> int:
        """Return over how many processes FSDP2 shards what tensor parallelism has left."""
        return self.dp_shard * self.context_parallel

    def __str__(self) -> str:
        return " x ".join(
            map(str, (self.dp_replicate, self.dp_shard, self.context_parallel, self.tensor_parallel))
        )

    def settings(self) -> str:
        """Return the overrides of a training command."""
        return (
            f"train.parallel.dp_replicate={self.dp_replicate} "
            f"train.parallel.context_parallel={self.context_parallel} "
            f"train.parallel.tensor_parallel={self.tensor_parallel}"
        )


@dataclass(frozen=True)
class RankLoad:
    """Work of the process with most samples in a step."""

    num_micro_batches: int
    samples: int  # of its largest micro-batch
    all_samples: int  # of all its micro-batches

    @classmethod
    def of(cls, num_samples: int, mesh: Mesh, num_micro_batches: int) -> "RankLoad":
        """Return the load of a global batch; at most `num_micro_batches`, as `split_batch` has it."""
        largest, smallest = (
            largest_slice(num_samples, mesh.num_data_ranks),
            num_samples // mesh.num_data_ranks,
        )
        parts = max(1, min(num_micro_batches, smallest))
        return cls(parts, -(-largest // parts), largest)


def meshes(num_gpus: int, gpus_per_node: int, config: TransformerConfig) -> Iterator[Mesh]:
    """Yield every mesh of some GPUs; tensor parallelism stays within a node."""
    for tensor in divisors(GATE_GROUPS):
        if (
            tensor > gpus_per_node
            or num_gpus % tensor
            or config.num_heads % tensor
            or config.ffn_dim % tensor
        ):
            continue
        for context in divisors(num_gpus // tensor):
            if context > MAX_CONTEXT:
                continue
            for replicate in divisors(num_gpus // tensor // context):
                if replicate & (replicate - 1):  # powers of two only: those in between are as good
                    continue
                shard = num_gpus // tensor // context // replicate
                # copies that span less than a node would share links with their shards
                if replicate > 1 and shard * context * tensor < gpus_per_node:
                    continue
                yield Mesh(replicate, shard, context, tensor)


def divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]
