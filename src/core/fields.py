"""Dataclass fields that carry their own help text and limits; `--help` prints both.

    @dataclass(frozen=True, kw_only=True)
    class SamplerConfig(Config):
        steps: int = opt(50, "solver steps", ge=1)

Limits are checked on construction, from YAML or in code. A class with rules that involve
several fields adds its own `__post_init__` and calls `super().__post_init__()` first.
"""

import copy
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any

LIMITS = {
    "ge": ("at least", lambda value, limit: value >= limit),
    "gt": ("more than", lambda value, limit: value > limit),
    "le": ("at most", lambda value, limit: value <= limit),
    "lt": ("less than", lambda value, limit: value < limit),
    "choices": ("one of", lambda value, limit: value in limit),
}


def opt(
    default: Any,
    help: str,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    choices: tuple[Any, ...] | None = None,
    resumable: bool = False,
) -> Any:
    """Return a dataclass field with a default, the sentence that `--help` shows, and limits.

    Mutable defaults (lists, dicts, nested dataclasses) are copied for each instance.

    Args:
        ge, gt, le, lt: bounds of the value, or of each element of a sequence; None is never checked.
        choices: the allowed values, where a `Literal` type cannot say it.
        resumable: a run may be resumed with another value; it changes where or how fast a run goes, not
            what it computes.
    """
    bounds = {"ge": ge, "gt": gt, "le": le, "lt": lt, "choices": choices}
    limits = {name: limit for name, limit in bounds.items() if limit is not None}
    metadata = {"help": help, "limits": limits, "resumable": resumable}
    if isinstance(default, (list, dict, set)) or hasattr(default, "__dataclass_fields__"):
        return field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Base of all config dataclasses: checks every field against the limits of its `opt`."""

    def __post_init__(self) -> None:
        for each in fields(self):
            _check(each, getattr(self, each.name))


def limits_text(each: "Field[Any]") -> str:
    """Return a field's limits in words: "at least 1, at most 8"; empty if it has none."""
    return ", ".join(f"{LIMITS[name][0]} {_format(limit)}" for name, limit in _limits(each))


def _limits(each: "Field[Any]") -> Iterator[tuple[str, Any]]:
    yield from each.metadata.get("limits", {}).items()


def _check(each: "Field[Any]", value: Any) -> None:
    elements = value if isinstance(value, tuple | list) else (value,)
    for element in elements:
        if element is None or element is MISSING or element == "???":
            continue
        for name, limit in _limits(each):
            words, holds = LIMITS[name]
            if not holds(element, limit):
                raise ValueError(f"{each.name} must be {words} {_format(limit)}, got {_format(value)}")


def _format(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(_format(each) for each in value)
    return str(value) if isinstance(value, str | Path) else repr(value)
