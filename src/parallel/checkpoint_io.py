"""Checkpoints on disk: written completely or not at all, and read with one-line errors.

Two formats. *Gathered*: one file with full tensors. *Sharded*: a directory in the format of
torch.distributed.checkpoint, one part per process, and `meta.pt` with everything else
(`src.parallel.sharded_saver` writes it). Both appear under their final name by one rename, after their bytes
are on the disk.
"""

import pickle
import warnings
from pathlib import Path
from typing import IO, Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from src.core.atomic import atomic_write
from src.core.errors import UserError

METADATA_FILE = "meta.pt"
INDEX_FILE = ".metadata"  # torch.distributed.checkpoint's own name


class CheckpointError(UserError):
    """A checkpoint cannot be read, written or used; the message names the path and the cause."""


def write_checkpoint(payload: Any, path: Path) -> None:
    """Save a checkpoint to one file, atomically and synced to the disk.

    Raises:
        CheckpointError: the bytes could not be written (disk full, no permission, ...). The temporary
            file is removed and an older file at `path` is untouched.
    """
    sink = None
    try:
        with atomic_write(path, sync=True) as temporary, open(temporary, "wb") as file:
            sink = _Sink(file)
            torch.save(payload, sink)  # type: ignore[arg-type]
    except (OSError, RuntimeError) as error:
        cause = (sink.error if sink else None) or error
        raise CheckpointError(f"{path}: the checkpoint could not be saved: {first_line(cause)}") from error


class _Sink:
    """A file that remembers its OSError, because torch.save raises an error of its own instead."""

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


def is_sharded(path: Path) -> bool:
    """Return whether `path` is a complete sharded checkpoint."""
    return path.is_dir() and (path / METADATA_FILE).is_file() and (path / INDEX_FILE).is_file()


def read_checkpoint(path: Path, *, mmap: bool = False) -> dict[str, Any]:
    """Read a checkpoint of either format, with full tensors on the CPU.

    Raises:
        CheckpointError: the file is missing, truncated, or not a checkpoint of this project.
    """
    if is_sharded(path):
        return _to_gathered(read_metadata(path), read_full_tensors(path))
    if path.is_dir():
        raise CheckpointError(f"{path}: directory is not a complete sharded checkpoint")
    payload = _load(path, mmap)
    if not isinstance(payload, dict) or "state_dict" not in payload:
        raise CheckpointError(f"{path}: not a checkpoint of this project (no state_dict in it)")
    return payload


def read_metadata(path: Path) -> dict[str, Any]:
    """Read everything but the tensors of a sharded checkpoint."""
    metadata: dict[str, Any] = _load(path / METADATA_FILE, False)
    return metadata


def read_entry(path: Path, key: str, default: Any) -> Any:
    """Read one entry other than tensors from a checkpoint of either format."""
    if is_sharded(path):
        return read_metadata(path).get(key, default)
    return read_checkpoint(path, mmap=True).get(key, default)


def read_full_tensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a sharded checkpoint in this process alone."""
    tensors = {
        name: torch.empty(size, dtype=dtype) for name, (size, dtype) in read_tensor_index(path).items()
    }
    load_tensors_(tensors, path, single_process=True)
    return tensors


def read_tensor_index(path: Path) -> dict[str, tuple[torch.Size, torch.dtype]]:
    """Read (shape, dtype) by name of the tensors of a sharded checkpoint."""
    try:
        entries = dcp.FileSystemReader(path).read_metadata().state_dict_metadata
    except (OSError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path}: {INDEX_FILE} cannot be read: {first_line(error)}") from error
    return {
        name: (entry.size, entry.properties.dtype)
        for name, entry in entries.items()
        if isinstance(entry, TensorStorageMetadata)
    }


def load_tensors_(
    tensors: dict[str, Tensor],
    path: Path,
    *,
    single_process: bool = False,
    reader: dcp.FileSystemReader | None = None,
) -> None:
    """Fill tensors in place from a sharded checkpoint; collective unless `single_process`."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            dcp.load(tensors, storage_reader=reader or dcp.FileSystemReader(path), no_dist=single_process)
    except CheckpointException as error:
        cause = next(iter(error.failures.values()))[0]
        raise CheckpointError(f"{path}: a shard cannot be read: {first_line(cause)}") from error


def _to_gathered(metadata: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Convert to the layout of a gathered file, where optimizer states are indexed and not named."""
    groups = metadata.pop("optimizer_groups")
    states: list[dict[str, Any]] = [{"state": {}, "param_groups": g["param_groups"]} for g in groups]
    weights = {}
    for name, tensor in tensors.items():
        kind, rest = name.split("/", 1)
        if kind == "model":
            weights[rest] = tensor
        else:
            number = int(kind.removeprefix("optimizer_"))
            param, entry = rest.rsplit("/", 1)
            index = groups[number]["names"].index(param)
            states[number]["state"].setdefault(index, {})[entry] = tensor
    return {**metadata, "state_dict": weights, "optimizer_states": states}


def _load(path: Path, mmap: bool) -> Any:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: not a checkpoint of this project") from error
    except (RuntimeError, EOFError, OSError) as error:
        raise CheckpointError(
            f"{path}: truncated or damaged ({path.stat().st_size} bytes): {first_line(error)}"
        ) from error


def first_line(error: BaseException) -> str:
    """Return the first line of an error, without a path."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
