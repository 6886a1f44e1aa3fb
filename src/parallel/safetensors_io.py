"""Read and write weights alone, without training state.

An exported file is safetensors: full tensors under the names that checkpoints have, and a text header that
makes it self-contained: the run's config (YAML), the checkpoint that the weights come from, the key of the
latents, and the format of the training videos.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from src.core.atomic import atomic_write
from src.core.errors import UserError
from src.parallel import checkpoint_io
from src.parallel.checkpoint_io import CheckpointError

SUFFIX = ".safetensors"
EMA_PREFIX = "ema."
COUNTERS = ("batch_counter",)  # buffers in the state dict that are no weights
KEY = "moviegen"  # of the header's entry, JSON of `Header`


@dataclass(frozen=True, kw_only=True)
class Header:
    """Provenance stored in an exported file."""

    config: str  # the run's config.yaml
    use: str  # which weights: "ema" (where there was an EMA) or "raw"
    step: int
    source: str  # path of the checkpoint
    tae_key: str = ""  # that latents of this TAE carry, or that the latents of this video model carry
    codec_key: str = ""  # the same of a codec and of an audio model
    dtype: str = "fp32"  # of tensors with two or more dimensions; the others are fp32
    buckets: tuple[str, ...] = ()  # of a video model: those that it was trained on
    fps: float = 0.0  # of a video model: frame rate of its training videos; 0: unknown


def select_weights(state_dict: Mapping[str, Tensor], use: str = "ema") -> dict[str, Tensor]:
    """Return the networks' weights: those of the EMA where there is one, or the raw ones.

    Args:
        use: "ema" or "raw".
    """
    if use not in ("ema", "raw"):
        raise UserError(f"use must be ema or raw, got {use!r}")
    ema = {k.removeprefix(EMA_PREFIX): v for k, v in state_dict.items() if k.startswith(EMA_PREFIX)}
    raw = {k: v for k, v in state_dict.items() if not k.startswith(EMA_PREFIX)}
    return raw if use == "raw" else {**raw, **ema}  # what has no EMA (statistics, a discriminator) stays raw


def read_weights(path: Path, use: str = "ema") -> dict[str, Tensor]:
    """Read full tensors by name.

    Args:
        path: a checkpoint of either format, or a .safetensors file, exported here or elsewhere.

    Raises:
        CheckpointError: the file cannot be read, or is an export of other weights than `use`.
    """
    if path.suffix != SUFFIX:
        return select_weights(checkpoint_io.read_checkpoint(path, mmap=True)["state_dict"], use)
    header = find_header(path)
    if header is not None and header.use != use:
        raise CheckpointError(f"{path}: contains the {header.use} weights of {header.source}, not {use}")
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error


def read_header(path: Path) -> Header:
    """Return the header of an exported file.

    Raises:
        CheckpointError: the file cannot be read, or was not exported by this project.
    """
    header = find_header(path)
    if header is None:
        raise CheckpointError(
            f"{path}: not exported by this project (no config in it); use it with start_from only"
        )
    return header


def find_header(path: Path) -> Header | None:
    """Return the header of an exported file; None for a file that was not exported by this project."""
    try:
        with safe_open(path, "pt") as file:
            entry = (file.metadata() or {}).get(KEY)
        if entry is None:
            return None
        header = Header(**json.loads(entry))
        return replace(header, buckets=tuple(header.buckets))  # JSON has no tuples
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        raise _unreadable(path, error) from error


def round_weights(tensors: Mapping[str, Tensor], dtype: Literal["fp32", "bf16"]) -> dict[str, Tensor]:
    """Return the tensors to store in a dtype.

    bf16 rounds matrices and kernels. Vectors (biases, gains, latent statistics) are few and stay fp32.
    """
    if dtype == "fp32":
        return dict(tensors)
    return {
        name: tensor.bfloat16() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
        for name, tensor in tensors.items()
    }


def write_weights(path: Path, tensors: Mapping[str, Tensor], header: Header) -> None:
    """Write an exported file atomically.

    Raises:
        CheckpointError: the file exists already, or cannot be written.
    """
    if path.exists():
        raise CheckpointError(f"{path}: already exists; remove it or choose another name")
    # safetensors rejects tensors that share memory, hence the clone
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    try:
        with atomic_write(path, sync=True) as temporary:
            save_file(tensors, temporary, {KEY: json.dumps(asdict(header))})
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be written: {_reason(error)}") from error


def _unreadable(path: Path, error: BaseException) -> CheckpointError:
    if not path.is_file():
        return CheckpointError(f"{path}: no such file")
    return CheckpointError(f"{path}: cannot be read ({path.stat().st_size} bytes): {_reason(error)}")


def _reason(error: BaseException) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:200]
