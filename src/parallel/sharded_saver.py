"""Save sharded checkpoints: each process its own shards, while training continues or waits.

An asynchronous save copies the shards to memory and writes the copy in a thread of each process, with
torch.distributed.checkpoint. Its processes agree over a group of their own, so that their messages never mix
with those of the training steps.
"""

import contextlib
import copy
import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.staging import AsyncStager
from torch.distributed.checkpoint.storage import WriteResult
from torch.distributed.tensor import DTensor

from src.core.atomic import sync_directory
from src.parallel.checkpoint_io import METADATA_FILE, CheckpointError, first_line, write_checkpoint


class ShardedSaver:
    """Saves one checkpoint at a time; `save` and `wait` are collective."""

    def __init__(self, *, is_async: bool) -> None:
        self.is_async = is_async
        self._pending: Future[Metadata] | None = None
        self._path = Path()
        self._group: Any = None

    def save(
        self,
        tensors: Mapping[str, Tensor],
        entries: Mapping[str, Any],
        path: Path,
        on_complete: Callable[[], None] | None = None,
    ) -> None:
        """Save tensors and, in `meta.pt`, the first rank's `entries`; waits for the save before this one.

        Args:
            on_complete: called on the first rank once the checkpoint has its final name.

        Raises:
            CheckpointError: on every rank, if any of them could not write this checkpoint, or, of an
                asynchronous save, the one before.
        """
        self.wait()
        self._path = path
        # Values of the entries may change while they are written.
        writer = AtomicWriter(path, copy.deepcopy(dict(entries)), on_complete)
        if not self.is_async:
            with _one_line_errors(path), warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="torch.distributed is disabled")
                dcp.save(dict(tensors), storage_writer=writer)
            return
        if self._group is None and dist.is_initialized():
            self._group = dist.new_group(backend="gloo")
        future = dcp.async_save(
            {name: on_cpu(tensor) for name, tensor in tensors.items()},
            storage_writer=writer,
            process_group=self._group,
            async_stager=CopiedAlready(),
        )
        self._pending = cast("Future[Metadata]", future)

    def wait(self) -> None:
        """Wait until the last checkpoint is complete.

        Raises:
            CheckpointError: as `save`.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            with _one_line_errors(self._path):
                pending.result()

    def close(self) -> None:
        """Wait without an error: it is called when a run ends, perhaps because another process has failed."""
        with contextlib.suppress(Exception):
            self.wait()


def on_cpu(tensor: Tensor) -> Tensor:
    """Return a copy in the memory of the CPU; of a DTensor, of this process's shard.

    The stagers of torch copy storages instead of tensors, which fails on some processes (torch 2.14: "invalid
    python storage").
    """
    if not isinstance(tensor, DTensor):
        return tensor.detach().to("cpu", copy=True)
    copied: Any = tensor.detach()
    copied._local_tensor = tensor.to_local().detach().to("cpu", copy=True)
    return cast("Tensor", copied)


class CopiedAlready(AsyncStager):
    """A stager for tensors that were copied before; waits for nothing."""

    _synchronize_after_execute = False

    def stage(self, state_dict: Any) -> Any:
        """Return the same tensors."""
        return state_dict

    def synchronize_staging(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class AtomicWriter(dcp.FileSystemWriter):
    """Writes into a temporary directory; the coordinator adds `meta.pt` last and renames it.

    The coordinator's `finish` runs when all processes have written and synced their files; an error in it
    reaches all of them.
    """

    def __init__(self, path: Path, entries: dict[str, Any], on_complete: Callable[[], None] | None) -> None:
        super().__init__(temporary_path(path), single_file_per_rank=True, sync_files=True)
        self.final, self.entries, self.on_complete = path, entries, on_complete

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        super().set_up_storage_writer(is_coordinator, *args, **kwargs)
        if is_coordinator:  # makes the directory again before any process writes into it
            shutil.rmtree(self.path, ignore_errors=True)

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        super().finish(metadata, results)
        temporary = Path(self.path)
        write_checkpoint(self.entries, temporary / METADATA_FILE)
        shutil.rmtree(self.final, ignore_errors=True)
        os.replace(temporary, self.final)
        sync_directory(self.final.parent)
        if self.on_complete is not None:
            self.on_complete()


def temporary_path(path: Path) -> Path:
    """Return the directory that becomes `path` once it is complete."""
    return path.with_name(f".{path.name}.tmp")


@contextlib.contextmanager
def _one_line_errors(path: Path) -> Any:
    """Turn a failed save into a CheckpointError, and remove what it has written."""
    try:
        yield
    except CheckpointException as error:
        if not dist.is_initialized() or dist.get_rank() == 0:
            shutil.rmtree(temporary_path(path), ignore_errors=True)
        cause = next(iter(error.failures.values()))[0]
        raise CheckpointError(f"{path}: the checkpoint could not be saved: {first_line(cause)}") from error
