"""Weights of a checkpoint or file by name, of which only those are read that are asked for.

Nothing of an optimizer is read, and of an EMA and the raw weights only one. Files are mapped into memory, so
a process that takes its shard of a tensor touches the bytes of that shard; of a sharded checkpoint it reads
the overlapping parts.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.distributed.checkpoint.metadata import Metadata

from src.parallel import checkpoint_io
from src.parallel.checkpoint_io import CheckpointError
from src.parallel.fsdp import copy_full_
from src.parallel.safetensors_io import SUFFIX, find_header, select_names, unreadable

MODEL_PREFIX = "model/"  # of weights in a sharded checkpoint


class WeightSource(Mapping[str, Tensor]):
    """Full tensors by name, on the CPU; `shapes` are known without reading any.

    Args:
        path: a checkpoint of either format, or a .safetensors file.
        use: "ema" (where there is an EMA) or "raw".

    Raises:
        CheckpointError: the file cannot be read, or is an export of other weights than `use`.
    """

    def __init__(self, path: Path, use: str = "ema") -> None:
        self.path = path
        self._tensors: Mapping[str, Tensor] = {}
        self._keys: dict[str, str] = {}  # of a sharded checkpoint, by name
        if checkpoint_io.is_sharded(path):
            self._reader = _Reader(path)
            index = checkpoint_io.read_tensor_index(path)
            stored = {k.removeprefix(MODEL_PREFIX): k for k in index if k.startswith(MODEL_PREFIX)}
            self._keys = {name: stored[entry] for name, entry in select_names(stored, use).items()}
            self._types = {name: index[key] for name, key in self._keys.items()}
        else:
            self._tensors = _mapped_tensors(path, use)
            self._types = {name: (value.shape, value.dtype) for name, value in self._tensors.items()}

    def __len__(self) -> int:
        return len(self._types)

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __contains__(self, name: object) -> bool:
        return name in self._types  # the base class would read the tensor

    def __getitem__(self, name: str) -> Tensor:
        if not self._keys:
            return self._tensors[name]
        size, dtype = self._types[name]
        tensor = torch.empty(size, dtype=dtype)
        self._load({self._keys[name]: tensor}, single_process=True)
        return tensor

    def shape(self, name: str) -> torch.Size:
        return self._types[name][0]

    def dtype(self, name: str) -> torch.dtype:
        return self._types[name][1]

    def copy_to_(self, targets: Mapping[str, Tensor]) -> None:
        """Fill tensors of the same names and shapes, each process its own shard.

        Collective for a sharded checkpoint.
        """
        if self._keys:
            self._load({self._keys[name]: target.detach() for name, target in targets.items()})
            return
        with torch.no_grad():
            for name, target in targets.items():
                copy_full_(target, self._tensors[name])

    def _load(self, tensors: dict[str, Tensor], *, single_process: bool = False) -> None:
        checkpoint_io.load_tensors_(tensors, self.path, single_process=single_process, reader=self._reader)


def read_weights(path: Path, use: str = "ema") -> dict[str, Tensor]:
    """Return all weights of a checkpoint or file, as full tensors on the CPU."""
    return dict(WeightSource(path, use))


def shape_of(source: Mapping[str, Tensor], name: str) -> torch.Size:
    """Return the shape of a tensor, without reading it where that is possible."""
    return source.shape(name) if isinstance(source, WeightSource) else source[name].shape


class _Reader(dcp.FileSystemReader):
    """Reads the index once: that of a large model on many processes takes longer than a tensor."""

    _index: Metadata | None = None

    def read_metadata(self, *args: object, **kwargs: object) -> Metadata:
        if self._index is None:
            self._index = super().read_metadata(*args, **kwargs)
        return self._index


def _mapped_tensors(path: Path, use: str) -> dict[str, Tensor]:
    if path.suffix != SUFFIX:
        stored = checkpoint_io.read_checkpoint(path, mmap=True)["state_dict"]
        return {name: stored[entry] for name, entry in select_names(stored, use).items()}
    header = find_header(path)
    if header is not None and header.use != use:
        raise CheckpointError(f"{path}: contains the {header.use} weights of {header.source}, not {use}")
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise unreadable(path, error) from error
