"""`key=value` overrides, read by the type of the field that they set."""

import dataclasses
import types
import typing
from typing import Any, get_args, get_origin, get_type_hints

import yaml
from omegaconf import OmegaConf


class OverrideError(ValueError):
    """An override that cannot be read, reported in one line."""


def parse_overrides(schema: type | None, overrides: tuple[str, ...] | list[str]) -> list[tuple[str, Any]]:
    """Return (dotted key, value) of each override, in order.

    A `str` field takes the text verbatim, so that `out=2024_01_01` stays a name and `negative=no` a string;
    lists of strings are read the same way element by element. A single value stands for a list of one.
    All else is read as a YAML value.
    """
    return [(key, _parse(hint_of(schema, key), text, key)) for key, text in map(_split, overrides)]


def _split(override: str) -> tuple[str, str]:
    key, _, text = override.partition("=")
    return key.strip(), text


def _parse(hint: Any, text: str, key: str) -> Any:
    options = union_options(hint)
    optional = type(None) in options
    sequence = next((o for o in options if get_origin(o) in (tuple, list)), None)
    if optional and text in ("null", ""):
        return None
    if str in options and sequence is None:
        return "" if text in ("''", '""') else text
    if sequence is not None and str in union_options(get_args(sequence)[0]):
        value = _yaml(text, key, yaml.BaseLoader)  # the base loader leaves every scalar a string
        return value if isinstance(value, list) else [value] if text else []
    value = _omegaconf(text, key)
    if sequence is not None and value is not None and not OmegaConf.is_list(value):
        return [value]
    return value


def _yaml(text: str, key: str, loader: Any) -> Any:
    try:
        return yaml.load(text, loader)
    except yaml.YAMLError as error:
        raise OverrideError(f"{key}={text}: not a YAML value: {' '.join(str(error).split())}") from error


def _omegaconf(text: str, key: str) -> Any:
    """Read a value as OmegaConf reads YAML, which knows numbers such as 1e-3."""
    try:
        return OmegaConf.from_dotlist([f"value={text}"])["value"]
    except Exception as error:  # errors of the grammar and of YAML have no common base
        raise OverrideError(f"{key}={text}: not understood: {' '.join(str(error).split())}") from error


def hint_of(schema: type | None, key: str) -> Any:
    """Return the type of the field that a dotted key names; `Any` where the schema does not say."""
    hint: Any = schema
    for part in key.split("."):
        inner = dataclass_of(hint)
        if inner is not None:
            hint = get_type_hints(inner).get(part, Any)
        elif get_origin(hint) is dict:
            hint = get_args(hint)[1]
        else:
            return Any
    return hint


def union_options(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type itself."""
    return get_args(hint) if get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def dataclass_of(hint: Any) -> type | None:
    """Return the dataclass in `X` or `X | None`, else None."""
    return next((o for o in union_options(hint) if dataclasses.is_dataclass(o) and isinstance(o, type)), None)
