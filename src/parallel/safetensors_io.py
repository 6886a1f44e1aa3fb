"""Write weights alone, without training state, and read what describes them.

An exported file is safetensors: full tensors under the names that checkpoints have, and a text header that
makes it self-contained: the run's config (YAML), the checkpoint that the weights come from, the key of the
latents, and the format of the training videos.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from src.core.atomic import atomic_write
from src.core.errors import UserError
from src.parallel.checkpoint_io import CheckpointError

SUFFIX = ".safetensors"
EMA_PREFIX = "ema."
COUNTERS = ("batch_counter",)  # buffers in the state dict that are no weights
# safetensors' names of dtypes, in the order in which it writes tensors
DTYPES = {
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
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


def select_names(names: Iterable[str], use: str = "ema") -> dict[str, str]:
    """Return the networks' weights by name, and where each is stored in a state dict.

    What has no EMA (statistics, a discriminator) is raw in both cases.

    Args:
        use: "ema" (where there is an EMA) or "raw".
    """
    if use not in ("ema", "raw"):
        raise UserError(f"use must be ema or raw, got {use!r}")
    raw, ema = {}, {}
    for name in names:
        if name.startswith(EMA_PREFIX):
            ema[name.removeprefix(EMA_PREFIX)] = name
        else:
            raw[name] = name
    return raw if use == "raw" else {**raw, **ema}


def header_entry(header: Header) -> dict[str, str]:
    """Return a header as the entry of a file's metadata."""
    return {KEY: json.dumps(asdict(header))}


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
        raise unreadable(path, error) from error


def stored_dtype(shape: torch.Size, dtype: torch.dtype, rounded: Literal["fp32", "bf16"]) -> torch.dtype:
    """Return the dtype in which to store a tensor.

    bf16 rounds matrices and kernels. Vectors (biases, gains, latent statistics) are few and stay fp32.
    """
    rounds = rounded == "bf16" and dtype.is_floating_point and len(shape) > 1
    return torch.bfloat16 if rounds else dtype


def write_tensors(
    path: Path,
    types: Mapping[str, tuple[torch.Size, torch.dtype]],
    read: Callable[[str], Tensor],
    metadata: Mapping[str, str],
) -> None:
    """Write a safetensors file atomically, one tensor at a time.

    safetensors' own `save_file` needs all of them in memory. The bytes are the same.

    Args:
        types: shape and dtype of every tensor.
        read: returns a tensor by name; it is converted to its dtype.

    Raises:
        CheckpointError: the file exists already, or cannot be written.
    """
    if path.exists():
        raise CheckpointError(f"{path}: already exists; remove it or choose another name")
    names = sorted(types, key=lambda name: (-_alignment(types[name][1]), name))
    try:
        with atomic_write(path, sync=True) as temporary, temporary.open("wb") as file:
            file.write(_layout(names, types, metadata))
            for name in names:
                value = read(name).detach().to("cpu", types[name][1]).contiguous()
                file.write(value.reshape(-1).view(torch.uint8).numpy().data)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written: {_reason(error)}") from error


def _layout(
    names: Sequence[str],
    types: Mapping[str, tuple[torch.Size, torch.dtype]],
    metadata: Mapping[str, str],
) -> bytes:
    """Return the length and the JSON header of a safetensors file, padded to eight bytes."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name in names:
        shape, dtype = types[name]
        begin, end = end, end + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": DTYPES[dtype], "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _alignment(dtype: torch.dtype) -> int:
    """Return the rank of a dtype in the order that safetensors writes, the widest first."""
    return list(DTYPES)[::-1].index(dtype)


def unreadable(path: Path, error: BaseException) -> CheckpointError:
    """Return the error of a file that cannot be read."""
    if not path.is_file():
        return CheckpointError(f"{path}: no such file")
    return CheckpointError(f"{path}: cannot be read ({path.stat().st_size} bytes): {_reason(error)}")


def _reason(error: BaseException) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:200]
