"""The text of `--help`: every key with its default, meaning, type and limits."""

import dataclasses
import shutil
import textwrap
import typing
from collections.abc import Iterator, Sequence
from typing import Any, get_args, get_origin, get_type_hints

from src.core.fields import limits_text
from src.core.overrides import dataclass_of, union_options

INDENT = 6


def help_text(schema: type, defaults: dict[str, Any] | None = None, topics: Sequence[str] = ()) -> str:
    """Return the keys of a config: `key=default` in one line, what it means below, wrapped to the terminal.

    Args:
        defaults: values by dotted key to show instead of the dataclass's own defaults.
        topics: show only keys that begin with one of these; () shows all.
    """
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    lines = []
    for key, default, text in rows(schema, defaults or {}):
        if topics and not key.startswith(tuple(topics)):
            continue
        lines.append(f"  {key}" if default is None else f"  {key}={default}")
        lines += textwrap.wrap(text, width, initial_indent=" " * INDENT, subsequent_indent=" " * INDENT)
    if not lines:
        heads = sorted({key.split(".")[0] for key, _, _ in rows(schema, {})})
        return f"no key begins with {', '.join(topics)}; groups: {', '.join(heads)}"
    return "\n".join(line.rstrip() for line in lines)


def keys(schema: type) -> list[str]:
    """Return every dotted key of a config; NAME stands for the names that a user chooses."""
    return [key for key, _, _ in rows(schema, {})]


def rows(schema: type, defaults: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str | None, str]]:
    """Yield key, default and text of every field; a group of named parts has no default."""
    hints = get_type_hints(schema)
    for each in dataclasses.fields(schema):
        hint, text, key = hints[each.name], each.metadata.get("help", ""), f"{prefix}{each.name}"
        inner = dataclass_of(hint)
        keyed = get_args(hint)[1] if get_origin(hint) is dict and get_args(hint) else None
        own = _own_defaults(each, key) | defaults
        if inner is not None:
            yield from rows(inner, own, f"{key}.")
        elif keyed is not None and dataclass_of(keyed):
            yield f"{key}.NAME", None, text
            yield from rows(keyed, {}, f"{key}.NAME.")
        else:
            notes = filter(None, (type_name(hint), limits_text(each)))
            yield key, _format(own[key]), f"{text} [{'; '.join(notes)}]"


def _own_defaults(each: "dataclasses.Field[Any]", key: str) -> dict[str, Any]:
    """Return a field's default by dotted key; a nested dataclass's, with what its parent set, as many."""
    value = each.default
    if each.default_factory is not dataclasses.MISSING:
        value = each.default_factory()
    if value is dataclasses.MISSING:
        value = "???"
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return {key: value}
    parts = (_own_value(getattr(value, f.name), f"{key}.{f.name}") for f in dataclasses.fields(value))
    return {k: v for part in parts for k, v in part.items()}


def _own_value(value: Any, key: str) -> dict[str, Any]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = (_own_value(getattr(value, f.name), f"{key}.{f.name}") for f in dataclasses.fields(value))
        return {k: v for part in parts for k, v in part.items()}
    return {key: value}


def _format(value: Any) -> str:
    """Return a value in the syntax of the command line."""
    if isinstance(value, str):
        return "(must be given)" if value == "???" else value
    if isinstance(value, tuple | list):
        return "[" + ",".join(_format(each) for each in value) + "]"
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    return str(value)


def type_name(hint: Any) -> str:
    """Return a type as `--help` shows it: int, a|b, tuple[int, ...]."""
    if get_origin(hint) is typing.Literal:
        return "|".join(str(a) for a in get_args(hint))
    if len(union_options(hint)) > 1:
        return "|".join(type_name(a) for a in union_options(hint))
    if hint is type(None):
        return "null"
    if get_origin(hint) is not None:
        inner = ", ".join("..." if a is Ellipsis else type_name(a) for a in get_args(hint))
        return f"{get_origin(hint).__name__}[{inner}]"
    return getattr(hint, "__name__", str(hint))
