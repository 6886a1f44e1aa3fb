"""Settings of the processes that train together; needs no torch."""

from dataclasses import dataclass
from typing import Literal

from src.core.fields import Config, opt

Accelerator = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class ParallelConfig(Config):
    """Number of processes, and how they share the model. None of it changes what a run computes."""

    accelerator: Accelerator = opt("auto", "device type; auto: GPUs if there are any", resumable=True)
    num_devices: int = opt(
        1, "processes per node; several form the mesh of the four sizes below", ge=1, resumable=True
    )
    num_nodes: int = opt(1, "number of machines", ge=1, resumable=True)
    dp_replicate: int = opt(
        1, "copies of the sharded model (HSDP), between which only gradients travel", ge=1, resumable=True
    )
    dp_shard: int | Literal["auto"] = opt(
        "auto",
        "processes that share the weights and read different samples (FSDP2); auto: all that are left",
        resumable=True,
    )
    context_parallel: int = opt(
        1,
        "processes that share the tokens of a sample; each attends from its own tokens to all",
        ge=1,
        resumable=True,
    )
    tensor_parallel: int = opt(
        1,
        "processes that share the heads and hidden features of a layer, and its tokens in between",
        ge=1,
        resumable=True,
    )
    reduce_every_micro_batch: bool = opt(
        True,
        "reduce gradients into fp32 shards after each micro-batch; false: once a step, which sends less and "
        "keeps a full gradient on every process",
        resumable=True,
    )
    sharded_checkpoint: bool = opt(
        True,
        "several processes: each writes its own shard (a directory); false: the first gathers one file",
        resumable=True,
    )
    async_checkpoint: bool = opt(
        True,
        "sharded checkpoints are copied to memory and written during the next steps; false: training waits",
        resumable=True,
    )
    offload_optimizer: bool = opt(
        False,
        "optimizer state stays in host memory and visits the GPU a part at a time: less memory, slower steps",
        resumable=True,
    )
    compile_blocks: bool = opt(False, "torch.compile each block in place", resumable=True)
    compile_backend: str = opt(
        "inductor", "backend of torch.compile; aot_eager needs no compiler", resumable=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        shard = self.dp_shard
        if shard != "auto" and shard < 1:
            raise ValueError(f"dp_shard must be auto or at least 1, got {shard}")
        rest = self.dp_replicate * self.num_peers
        if self.world_size % rest if shard == "auto" else self.world_size != rest * shard:
            raise ValueError(
                f"dp_replicate={self.dp_replicate} x dp_shard={shard} x "
                f"context_parallel={self.context_parallel} x tensor_parallel={self.tensor_parallel} does not "
                f"give num_devices * num_nodes = {self.world_size} processes"
            )

    @property
    def world_size(self) -> int:
        return self.num_devices * self.num_nodes

    @property
    def mesh_shape(self) -> tuple[int, int, int, int]:
        """Sizes of dp_replicate, dp_shard, context_parallel and tensor_parallel."""
        shard = self.world_size // (self.dp_replicate * self.num_peers)
        return self.dp_replicate, shard, self.context_parallel, self.tensor_parallel

    @property
    def num_peers(self) -> int:
        """Number of processes that train on the same samples together."""
        return self.context_parallel * self.tensor_parallel

    @property
    def num_data_ranks(self) -> int:
        """Number of groups of peers, which read different samples."""
        return self.world_size // self.num_peers


@dataclass(frozen=True, kw_only=True)
class InferenceMesh(Config):
    """The use of a model that does not train by the processes that torchrun or srun started.

    Groups of context_parallel x tensor_parallel processes compute the same samples; groups split the samples.
    """

    shard_weights: bool = opt(
        False, "shard the weights over the groups (FSDP2); false: every group has all of them"
    )
    context_parallel: int = opt(1, "processes that share the tokens of a sample", ge=1)
    tensor_parallel: int = opt(1, "processes that share the heads and hidden features of a layer", ge=1)

    @property
    def num_peers(self) -> int:
        """Number of processes that compute the same samples."""
        return self.context_parallel * self.tensor_parallel

    def parallel(self, world_size: int) -> ParallelConfig | None:
        """Return the mesh of all processes; None where each has a full model for itself.

        Raises:
            ValueError: the sizes do not give the number of processes.
        """
        if world_size % self.num_peers:
            raise ValueError(
                f"context_parallel={self.context_parallel} x tensor_parallel={self.tensor_parallel} does not "
                f"divide the {world_size} process(es) that the launcher started"
            )
        if self.num_peers == 1 and (world_size == 1 or not self.shard_weights):
            return None
        return ParallelConfig(
            num_devices=world_size,
            dp_replicate=1 if self.shard_weights else world_size // self.num_peers,
            context_parallel=self.context_parallel,
            tensor_parallel=self.tensor_parallel,
        )
