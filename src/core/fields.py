"""A dataclass field that carries its own help text; `--help` prints it."""

import copy
from dataclasses import field
from typing import Any


def opt(default: Any, help: str) -> Any:
    """A dataclass field with a default and the sentence that `--help` shows for it.

    Mutable defaults (lists, dicts, nested dataclasses) are copied for each instance.
    """
    metadata = {"help": help}
    if isinstance(default, (list, dict, set)) or hasattr(default, "__dataclass_fields__"):
        return field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return field(default=default, metadata=metadata)
