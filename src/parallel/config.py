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
        1, "processes per node; above 1 the model is sharded over all of them (FSDP2)", ge=1, resumable=True
    )
    num_nodes: int = opt(1, "number of machines", ge=1, resumable=True)
    tensor_parallel: int = opt(
        1, "processes that split each layer between them; only 1 is supported", ge=1, le=1, resumable=True
    )
    sharded_checkpoint: bool = opt(
        False,
        "each process writes its own shard (a directory) instead of one gathered file",
        resumable=True,
    )
    compile_blocks: bool = opt(False, "torch.compile each block in place", resumable=True)
    compile_backend: str = opt(
        "inductor", "backend of torch.compile; aot_eager needs no compiler", resumable=True
    )

    @property
    def world_size(self) -> int:
        return self.num_devices * self.num_nodes
