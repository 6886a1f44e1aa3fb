"""Does a checkpoint fit a model? Said in one line."""

from collections.abc import Mapping
from pathlib import Path

import torch

from src.parallel.checkpoint_io import CheckpointError


def check(path: Path, found: Mapping[str, torch.Size], expected: Mapping[str, torch.Size]) -> None:
    """Compare the tensors of a checkpoint with those of a model, by name and shape.

    Raises:
        CheckpointError: they differ; the message names the first difference of each kind.
    """
    differences = difference(found, expected)
    if differences:
        raise CheckpointError(f"{path}: is a checkpoint of another architecture: {differences}")


def difference(found: Mapping[str, torch.Size], expected: Mapping[str, torch.Size]) -> str:
    """One line on what differs, empty if nothing does."""
    shapes = [n for n in expected if n in found and tuple(found[n]) != tuple(expected[n])]
    missing = [n for n in expected if n not in found]
    surplus = [n for n in found if n not in expected]
    parts = []
    if shapes:
        n = shapes[0]
        parts.append(f"{n} is {list(found[n])} there and {list(expected[n])} here{_more(shapes)}")
    if missing:
        parts.append(f"{missing[0]} is not in it{_more(missing)}")
    if surplus:
        parts.append(f"{surplus[0]} is only in it{_more(surplus)}")
    return "; ".join(parts)


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
