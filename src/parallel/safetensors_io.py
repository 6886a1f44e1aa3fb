"""Weights alone, of a checkpoint of either format or of an exported file; no training state.

An exported file is safetensors: whole tensors under the names that checkpoints have, and a header of
texts that makes it a model by itself: the run's config (YAML) and where the weights come from.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from src.core.errors import UserError
from src.parallel import checkpoint_io
from src.parallel.checkpoint_io import CheckpointError

SUFFIX = ".safetensors"
EMA_PREFIX = "ema."
KEY = "moviegen"  # of the header's entry, JSON of `Header`


@dataclass(frozen=True, kw_only=True)
class Header:
    """What an exported file says of itself."""

    config: str  # the run's config.yaml
    use: str  # which weights: "ema" (where there were averages) or "raw"
    step: int
    source: str  # the checkpoint they were taken from


def select(checkpoint: Mapping[str, Tensor], use: str = "ema") -> dict[str, Tensor]:
    """The networks' weights of a `state_dict`: the averaged ones where there are any, or the raw ones.

    Args:
        use: "ema" or "raw".
    """
    if use not in ("ema", "raw"):
        raise UserError(f"use must be ema or raw, got {use!r}")
    averaged = {k.removeprefix(EMA_PREFIX): v for k, v in checkpoint.items() if k.startswith(EMA_PREFIX)}
    plain = {k: v for k, v in checkpoint.items() if not k.startswith(EMA_PREFIX)}
    return plain if use == "raw" else {**plain, **averaged}


def read(path: Path, use: str = "ema") -> dict[str, Tensor]:
    """Whole tensors by name.

    Args:
        path: a checkpoint of either format, or a .safetensors file, exported here or of another origin.

    Raises:
        CheckpointError: it cannot be read, or is an export of other weights than `use`.
    """
    if path.suffix != SUFFIX:
        return select(checkpoint_io.read(path, mmap=True)["state_dict"], use)
    header = header_of(path)
    if header is not None and header.use != use:
        raise CheckpointError(f"{path}: holds {header.use} weights of {header.source}, {use} was asked for")
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error


def read_header(path: Path) -> Header:
    """The header of an exported file.

    Raises:
        CheckpointError: it cannot be read, or was not exported by this project.
    """
    header = header_of(path)
    if header is None:
        raise CheckpointError(f"{path}: was not exported here (no config in it); it can only be started from")
    return header


def header_of(path: Path) -> Header | None:
    """The header; None for a file of another origin."""
    try:
        with safe_open(path, "pt") as file:
            entry = (file.metadata() or {}).get(KEY)
        return None if entry is None else Header(**json.loads(entry))
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        raise _unreadable(path, error) from error


def write(path: Path, tensors: Mapping[str, Tensor], header: Header) -> None:
    """Write an exported file, whole or not at all.

    Raises:
        CheckpointError: there is one already, or it cannot be written.
    """
    if path.exists():
        raise CheckpointError(f"{path}: is there already; remove it or give another name")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    whole = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(whole, temporary, {KEY: json.dumps(asdict(header))})
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        checkpoint_io.sync_directory(path.parent)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise CheckpointError(f"{path}: could not be written: {_reason(error)}") from error


def _unreadable(path: Path, error: BaseException) -> CheckpointError:
    if not path.is_file():
        return CheckpointError(f"{path}: no such file")
    return CheckpointError(f"{path}: cannot be read ({path.stat().st_size} bytes): {_reason(error)}")


def _reason(error: Any) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:200]
