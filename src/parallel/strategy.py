"""Lightning strategies that share one checkpoint format, and the choice between them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO
from lightning.pytorch.strategies import ModelParallelStrategy, SingleDeviceStrategy, Strategy
from torch import Tensor
from torch.optim import Optimizer

from src.core.errors import UserError
from src.parallel import checkpoint_io, state_dict
from src.parallel.checkpoint_io import CheckpointError
from src.parallel.config import ParallelConfig
from src.parallel.mesh import ProcessMesh, build_mesh
from src.parallel.sharded_saver import ShardedSaver


class AtomicCheckpointIO(CheckpointIO):
    """Complete files or none: see `src.parallel.checkpoint_io`.

    The storage option `on_complete` is called when a checkpoint has its final name.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        checkpoint_io.write_checkpoint(checkpoint, Path(path))
        on_complete = (storage_options or {}).get("on_complete")
        if on_complete is not None:
            on_complete()

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> Any:
        return checkpoint_io.read_checkpoint(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


class SingleProcessStrategy(SingleDeviceStrategy):
    """One process on one device; rejects a checkpoint that does not fit before loading any of it."""

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        checkpoint = checkpoint_io.read_checkpoint(Path(checkpoint_path))
        assert self.lightning_module is not None
        _check_fits(Path(checkpoint_path), checkpoint["state_dict"], self.lightning_module)
        return checkpoint


class MeshStrategy(ModelParallelStrategy):
    """The mesh of a config, and checkpoints that do not depend on it.

    Lightning's own mesh has neither copies (HSDP) nor context parallelism. Its gathered files number the
    optimizer's parameters over the entire module, and create optimizer state where there is none yet (an
    optimizer that starts late); these do neither.
    """

    def __init__(self, config: ParallelConfig, backend: str) -> None:
        super().__init__(
            data_parallel_size=config.world_size // config.tensor_parallel,
            tensor_parallel_size=config.tensor_parallel,
            save_distributed_checkpoint=config.sharded_checkpoint,
            process_group_backend=backend,
        )
        self.config = config
        self.saver = ShardedSaver(is_async=config.async_checkpoint)
        self._mesh: ProcessMesh | None = None

    def setup_environment(self) -> None:
        super(ModelParallelStrategy, self).setup_environment()
        self._setup_distributed()
        self._mesh = build_mesh(self.config, self.root_device)
        # Lightning hands it to the module, which builds its networks over it (`configure_model`).
        self._device_mesh = self._mesh.device_mesh
        assert self.lightning_module is not None
        self.lightning_module._device_mesh = self._device_mesh

    @property
    def mesh(self) -> ProcessMesh:
        assert self._mesh is not None
        return self._mesh

    @property
    def distributed_sampler_kwargs(self) -> dict[str, Any]:
        """Return the number of groups that read different samples, and this process's."""
        return {"num_replicas": self.mesh.num_data_ranks, "rank": self.mesh.data_rank}

    @property
    def _module(self) -> torch.nn.Module:
        assert self.lightning_module is not None
        return self.lightning_module

    def lightning_module_state_dict(self) -> dict[str, Any]:
        if self._save_distributed_checkpoint:
            return dict(self._module.state_dict())
        return state_dict.gather_module(self._module, keep=self.is_global_zero)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        optimizer = getattr(optimizer, "_optimizer", optimizer)
        if self._save_distributed_checkpoint:
            return state_dict.named_optimizer_state(self._module, optimizer)
        return state_dict.gather_optimizer(optimizer, keep=self.is_global_zero)

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        path = Path(self.broadcast(str(filepath)))
        if self._save_distributed_checkpoint:
            tensors = {f"model/{k}": v for k, v in checkpoint.pop("state_dict").items()}
            for number, named in enumerate(checkpoint.pop("optimizer_states", [])):
                tensors |= {f"optimizer_{number}/{k}": v for k, v in named["tensors"].items()}
                checkpoint.setdefault("optimizer_groups", []).append(named["groups"])
            self.saver.save(tensors, checkpoint, path, (storage_options or {}).get("on_complete"))
            return
        failure = None
        if self.is_global_zero:
            try:
                self.checkpoint_io.save_checkpoint(checkpoint, path, storage_options)
            except CheckpointError as error:
                failure = str(error)
        # Every rank raises: otherwise the others would wait for rank 0 in the next collective call.
        failure = self.broadcast(failure)
        if failure is not None:
            raise CheckpointError(failure)

    def teardown(self) -> None:
        self.saver.close()  # before its processes leave each other
        super().teardown()

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        path = Path(self.broadcast(str(checkpoint_path)))
        if checkpoint_io.is_sharded(path):
            return self._load_shards(path)
        # mmap: each process reads only the bytes of its own shards
        checkpoint = checkpoint_io.read_checkpoint(path, mmap=True)
        weights = checkpoint.pop("state_dict")
        _check_fits(path, weights, self._module)
        state_dict.scatter_module(self._module, weights)
        for optimizer, saved in zip(self.optimizers, checkpoint.pop("optimizer_states"), strict=True):
            state_dict.scatter_optimizer(optimizer, saved)
        return checkpoint

    def _load_shards(self, path: Path) -> dict[str, Any]:
        """Load a sharded checkpoint; each process reads its own shards only."""
        index = checkpoint_io.read_tensor_index(path)
        found = {k.removeprefix("model/"): size for k, (size, _) in index.items() if k.startswith("model/")}
        module_state = self._module.state_dict()
        state_dict.check_architecture(path, found, state_dict.shapes_of(module_state))
        tensors: dict[str, Tensor] = {f"model/{k}": v for k, v in module_state.items()}
        checkpoint_io.load_tensors_(tensors, path)
        metadata = checkpoint_io.read_metadata(path)
        for number, (optimizer, groups) in enumerate(
            zip(self.optimizers, metadata.pop("optimizer_groups"), strict=True)
        ):
            prefix = f"optimizer_{number}/"
            own = {k: v for k, v in index.items() if k.startswith(prefix)}
            state_dict.load_named_optimizer_state(optimizer, groups, prefix, own, path)
        return metadata


def _check_fits(path: Path, found: Mapping[str, Tensor], module: torch.nn.Module) -> None:
    state_dict.check_architecture(
        path, state_dict.shapes_of(found), state_dict.shapes_of(module.state_dict())
    )


def resolve_accelerator(config: ParallelConfig) -> str:
    """Return "cpu" or "cuda".

    Raises:
        UserError: GPUs are required, and there are none or too few.
    """
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if config.accelerator == "cuda" and not num_gpus:
        raise UserError(
            "train.parallel.accelerator=cuda: no usable GPU on this machine; use accelerator=cpu or auto"
        )
    kind = config.accelerator
    if kind == "auto":
        kind = "cuda" if num_gpus else "cpu"
    if kind == "cuda" and config.num_devices > num_gpus:
        raise UserError(
            f"train.parallel.num_devices={config.num_devices}: this machine has {num_gpus} GPU(s); use "
            f"num_devices={num_gpus} or accelerator=cpu"
        )
    return kind


def build_strategy(config: ParallelConfig) -> Strategy:
    """Return the strategy: plain for one process, FSDP2 over several (gloo on CPUs, NCCL on GPUs)."""
    accelerator = resolve_accelerator(config)
    atomic_io = AtomicCheckpointIO()
    if config.world_size == 1:
        device = "cuda:0" if accelerator == "cuda" else "cpu"
        return SingleProcessStrategy(device=device, checkpoint_io=atomic_io)
    strategy = MeshStrategy(config, "nccl" if accelerator == "cuda" else "gloo")
    strategy.checkpoint_io = atomic_io
    return strategy
