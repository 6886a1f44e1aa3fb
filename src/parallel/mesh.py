"""The mesh of all processes of a run: dp_replicate x dp_shard x context_parallel x tensor_parallel.

Neighboring ranks are neighbors along the last axis, so that tensor parallelism, which sends most, stays
within a node. Weights are sharded (FSDP2) over dp_shard and context_parallel together: processes of one
context group have the same samples but different tokens, so their gradients are summed like those of
different samples.
"""

import torch
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from src.parallel.config import ParallelConfig

REPLICATE, SHARD, CONTEXT, TENSOR = "dp_replicate", "dp_shard", "context_parallel", "tensor_parallel"
WEIGHTS, TOKENS = "dp_shard_context", "context_tensor"  # flattened axes


class ProcessMesh:
    """The mesh, and this process's place in it.

    Args:
        device_mesh: with the four axes above.
    """

    def __init__(self, device_mesh: DeviceMesh) -> None:
        assert device_mesh.mesh_dim_names == (REPLICATE, SHARD, CONTEXT, TENSOR)
        self.device_mesh = device_mesh
        self._weights = device_mesh[SHARD, CONTEXT]._flatten(WEIGHTS)
        self._tokens = device_mesh[CONTEXT, TENSOR]._flatten(TOKENS)

    @property
    def fsdp(self) -> DeviceMesh:
        """Return the axes over which weights are sharded, after the one of their copies if there are any."""
        if self.device_mesh[REPLICATE].size() == 1:
            return self._weights
        return DeviceMesh._concatenate([self.device_mesh[REPLICATE], self._weights])

    @property
    def tensor(self) -> DeviceMesh | None:
        """Return the axis of tensor parallelism; None if it has one process."""
        mesh = self.device_mesh[TENSOR]
        return mesh if mesh.size() > 1 else None

    @property
    def context(self) -> DeviceMesh:
        """Return the axis of context parallelism."""
        return self.device_mesh[CONTEXT]

    @property
    def tokens(self) -> DeviceMesh:
        """Return the processes that share samples: the axes of context and tensor parallelism as one."""
        return self._tokens

    @property
    def num_peers(self) -> int:
        """Return the number of processes that train on the same samples, this one included."""
        return self._tokens.size()

    @property
    def data_rank(self) -> int:
        """Return the number of this process's group of peers; each group reads its own samples."""
        replica, shard = self.device_mesh.get_local_rank(REPLICATE), self.device_mesh.get_local_rank(SHARD)
        return replica * self.device_mesh[SHARD].size() + shard

    @property
    def num_data_ranks(self) -> int:
        """Return the number of groups of peers."""
        return self.device_mesh.size() // self.num_peers


def build_mesh(config: ParallelConfig, device: torch.device) -> ProcessMesh:
    """Return the mesh of a config; collective."""
    names = (REPLICATE, SHARD, CONTEXT, TENSOR)
    return ProcessMesh(init_device_mesh(device.type, config.mesh_shape, mesh_dim_names=names))
