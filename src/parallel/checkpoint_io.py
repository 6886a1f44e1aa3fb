"""Checkpoints on disk: written whole or not at all, and read with errors that say what is wrong.

Two formats. *Gathered*: one file with whole tensors. *Sharded*: a directory in the format of
torch.distributed.checkpoint, each process its own part, and `meta.pt` with everything else. Both
appear under their final name by one rename, after their bytes are on the disk.
"""

import os
import pickle
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from src.core.errors import UserError

META = "meta.pt"
INDEX = ".metadata"


class CheckpointError(UserError):
    """A checkpoint cannot be read, written or used; the message names the path and what is wrong."""


def write_file(payload: Any, path: Path) -> None:
    """Save to one file: temporary name, fsync, rename, fsync of the directory.

    Raises:
        CheckpointError: the bytes could not be written (disk full, no permission, ...). The temporary
            file is gone and whatever stood at `path` is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    sink = None
    try:
        with open(temporary, "wb") as file:
            sink = _Sink(file)
            torch.save(payload, sink)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_directory(path.parent)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        cause = (sink.error if sink else None) or error
        raise CheckpointError(f"{path}: the checkpoint could not be saved: {_reason(cause)}") from error


class _Sink:
    """A file that remembers its OSError: torch.save buries it under an error of its own."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()


def write_shards(tensors: Mapping[str, Tensor], meta: Any, path: Path, *, first: bool) -> None:
    """Save a directory; collective. `first` is True on the one rank that writes `meta` and renames.

    Raises:
        CheckpointError: on every rank, if any of them could not write.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    if first:
        shutil.rmtree(temporary, ignore_errors=True)
    _barrier()
    try:
        dcp.save(dict(tensors), checkpoint_id=temporary)
    except CheckpointException as error:
        if first:
            shutil.rmtree(temporary, ignore_errors=True)
        cause = next(iter(error.failures.values()))[0]
        raise CheckpointError(f"{path}: the checkpoint could not be saved: {_reason(cause)}") from error
    if first:
        write_file(meta, temporary / META)
        shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)
        sync_directory(path.parent)


def is_sharded(path: Path) -> bool:
    """True for a whole sharded checkpoint."""
    return path.is_dir() and (path / META).is_file() and (path / INDEX).is_file()


def read(path: Path, *, mmap: bool = False) -> dict[str, Any]:
    """A checkpoint of either format with whole tensors on the CPU.

    Raises:
        CheckpointError: there is none, it is cut short, or it is something else.
    """
    if is_sharded(path):
        return _join(read_meta(path), read_tensors(path))
    if path.is_dir():
        raise CheckpointError(f"{path}: is a directory, but not a whole sharded checkpoint")
    payload = _load(path, mmap)
    if not isinstance(payload, dict) or "state_dict" not in payload:
        raise CheckpointError(f"{path}: is not a checkpoint of this project (no state_dict in it)")
    return payload


def read_meta(path: Path) -> dict[str, Any]:
    """Everything but the tensors of a sharded checkpoint."""
    return _load(path / META, False)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a sharded checkpoint, whole, read by this process alone."""
    tensors = {name: torch.empty(size, dtype=dtype) for name, (size, dtype) in tensor_index(path).items()}
    load_into(tensors, path, alone=True)
    return tensors


def tensor_index(path: Path) -> dict[str, tuple[torch.Size, torch.dtype]]:
    """Name -> (shape, dtype) of the tensors of a sharded checkpoint."""
    try:
        entries = dcp.FileSystemReader(path).read_metadata().state_dict_metadata
    except (OSError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path}: {INDEX} cannot be read: {_reason(error)}") from error
    return {
        name: (entry.size, entry.properties.dtype)
        for name, entry in entries.items()
        if isinstance(entry, TensorStorageMetadata)
    }


def load_into(tensors: dict[str, Tensor], path: Path, *, alone: bool = False) -> None:
    """Fill tensors (sharded or not) in place; collective unless `alone`."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            dcp.load(tensors, checkpoint_id=path, no_dist=alone)
    except CheckpointException as error:
        cause = next(iter(error.failures.values()))[0]
        raise CheckpointError(f"{path}: a shard cannot be read: {_reason(cause)}") from error


def _join(meta: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Back to the layout of a gathered file."""
    groups = meta.pop("optimizer_groups")
    states: list[dict[str, Any]] = [{"state": {}, "param_groups": g["param_groups"]} for g in groups]
    module = {}
    for name, tensor in tensors.items():
        kind, rest = name.split("/", 1)
        if kind == "model":
            module[rest] = tensor
        else:
            number = int(kind.removeprefix("optimizer_"))
            param, entry = rest.rsplit("/", 1)
            index = groups[number]["names"].index(param)
            states[number]["state"].setdefault(index, {})[entry] = tensor
    return {**meta, "state_dict": module, "optimizer_states": states}


def _load(path: Path, mmap: bool) -> Any:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: is not a checkpoint of this project") from error
    except (RuntimeError, EOFError, OSError) as error:
        raise CheckpointError(
            f"{path}: is cut short or damaged ({path.stat().st_size} bytes): {_reason(error)}"
        ) from error


def sync_directory(path: Path) -> None:
    """Make a rename in `path` survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _barrier() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.barrier()


def _reason(error: BaseException) -> str:
    """The first line of an error, without a path."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
