"""Lightning strategies that share one checkpoint format, and the choice between them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO
from lightning.pytorch.strategies import ModelParallelStrategy, SingleDeviceStrategy, Strategy
from torch import Tensor
from torch.optim import Optimizer

from src.parallel import architecture, checkpoint_io, state_dict
from src.parallel.checkpoint_io import CheckpointError
from src.parallel.config import ParallelConfig


class AtomicCheckpointIO(CheckpointIO):
    """Whole files or none: see `storage`."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        checkpoint_io.write_file(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> Any:
        return checkpoint_io.read(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


class OneProcess(SingleDeviceStrategy):
    """One process, one device; refuses a checkpoint that does not fit before anything is loaded."""

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        checkpoint = checkpoint_io.read(Path(checkpoint_path))
        assert self.lightning_module is not None
        _check(Path(checkpoint_path), checkpoint["state_dict"], self.lightning_module)
        return checkpoint


class Sharded(ModelParallelStrategy):
    """FSDP2 with checkpoints that do not depend on the number of processes.

    Lightning's own gathered files number the optimiser's parameters over the whole module and create
    optimiser state where there is none yet (an optimiser that starts late); these do neither.
    """

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
            return state_dict.named_optimizer(self._module, optimizer)
        return state_dict.gather_optimizer(optimizer, keep=self.is_global_zero)

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        path = Path(self.broadcast(str(filepath)))
        if self._save_distributed_checkpoint:
            tensors = {f"model/{k}": v for k, v in checkpoint.pop("state_dict").items()}
            for number, named in enumerate(checkpoint.pop("optimizer_states", [])):
                tensors |= {f"optimizer_{number}/{k}": v for k, v in named["tensors"].items()}
                checkpoint.setdefault("optimizer_groups", []).append(named["groups"])
            checkpoint_io.write_shards(tensors, checkpoint, path, first=self.is_global_zero)
            return
        failure = None
        if self.is_global_zero:
            try:
                self.checkpoint_io.save_checkpoint(checkpoint, path)
            except CheckpointError as error:
                failure = str(error)
        failure = self.broadcast(failure)  # every rank stops, none waits for one that is gone
        if failure is not None:
            raise CheckpointError(failure)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        path = Path(self.broadcast(str(checkpoint_path)))
        if checkpoint_io.is_sharded(path):
            return self._load_shards(path)
        checkpoint = checkpoint_io.read(path, mmap=True)
        weights = checkpoint.pop("state_dict")
        _check(path, weights, self._module)
        state_dict.scatter_module(self._module, weights)
        for optimizer, saved in zip(self.optimizers, checkpoint.pop("optimizer_states"), strict=True):
            state_dict.scatter_optimizer(optimizer, saved)
        return checkpoint

    def _load_shards(self, path: Path) -> dict[str, Any]:
        """Each process reads its own part only."""
        index = checkpoint_io.tensor_index(path)
        found = {k.removeprefix("model/"): size for k, (size, _) in index.items() if k.startswith("model/")}
        architecture.check(path, found, {k: v.shape for k, v in self._module.state_dict().items()})
        tensors: dict[str, Tensor] = {f"model/{k}": v for k, v in self._module.state_dict().items()}
        checkpoint_io.load_into(tensors, path)
        meta = checkpoint_io.read_meta(path)
        for number, (optimizer, groups) in enumerate(
            zip(self.optimizers, meta.pop("optimizer_groups"), strict=True)
        ):
            prefix = f"optimizer_{number}/"
            sizes = {k: v for k, v in index.items() if k.startswith(prefix)}
            state_dict.load_named_optimizer(optimizer, groups, prefix, sizes, path)
        return meta


def _check(path: Path, found: Mapping[str, Tensor], module: torch.nn.Module) -> None:
    expected = {name: tensor.shape for name, tensor in module.state_dict().items()}
    architecture.check(path, {name: tensor.shape for name, tensor in found.items()}, expected)


def accelerator_of(config: ParallelConfig) -> str:
    """ "cpu" or "cuda".

    Raises:
        ValueError: GPUs are asked for and there are none.
    """
    if config.accelerator == "cuda" and not torch.cuda.is_available():
        raise ValueError("parallel.accelerator=cuda: this machine has no usable GPU; use cpu or auto")
    if config.accelerator == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return config.accelerator


def build_strategy(config: ParallelConfig) -> Strategy:
    """One process plainly; several with FSDP2 over all of them (gloo on CPUs, NCCL on GPUs)."""
    checkpoint_io = AtomicCheckpointIO()
    if config.world_size == 1:
        device = "cuda:0" if accelerator_of(config) == "cuda" else "cpu"
        return OneProcess(device=device, checkpoint_io=checkpoint_io)
    strategy = Sharded(
        data_parallel_size=config.world_size // config.tensor_parallel,
        tensor_parallel_size=config.tensor_parallel,
        save_distributed_checkpoint=config.sharded_checkpoint,
        process_group_backend="nccl" if accelerator_of(config) == "cuda" else "gloo",
    )
    strategy.checkpoint_io = checkpoint_io
    return strategy
