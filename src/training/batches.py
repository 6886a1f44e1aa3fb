"""Cutting a batch into equal parts."""

import dataclasses
from typing import Any

from torch import Tensor

from src.errors import UserError


def split(batch: Any, num_parts: int) -> list[Any]:
    """Equal parts of a batch (a dataclass of tensors, lists and plain values).

    Raises:
        UserError: the batch does not divide by `num_parts`.
    """
    if num_parts == 1:
        return [batch]
    size = len(batch.slots)
    if size % num_parts:
        raise UserError(f"train.micro_batches={num_parts} does not divide a batch of {size} samples")
    step = size // num_parts
    return [_slice(batch, slice(i, i + step)) for i in range(0, size, step)]


def _slice(value: Any, part: slice) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: _slice(getattr(value, f.name), part) for f in dataclasses.fields(value)}
        return type(value)(**fields)
    if isinstance(value, Tensor | list):
        return value[part]
    if isinstance(value, tuple):
        return tuple(_slice(item, part) for item in value)
    if isinstance(value, dict):
        return {name: _slice(item, part) for name, item in value.items()}
    return value
