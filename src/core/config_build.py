"""Build typed configs from merged trees: check keys and types, then make the nested frozen dataclasses."""

import dataclasses
import difflib
import types
import typing
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException, ValidationError

from src.core.errors import UserError
from src.core.overrides import dataclass_of

T = TypeVar("T")


class ConfigError(UserError):
    """A mistake in a config file or an override, reported in one line."""


def build(schema: type[T], node: DictConfig) -> T:
    """Check a merged tree against a dataclass and build it.

    Raises:
        ConfigError: unknown key (with the nearest known one), wrong type, or a value rejected by a
            dataclass's own `__post_init__`; the message names the full key and the value.
    """
    try:
        merged = OmegaConf.merge(OmegaConf.structured(schema), without_null_entries(schema, node))
        plain = OmegaConf.to_container(merged, resolve=True)
    except ConfigKeyError as error:
        raise ConfigError(unknown_key(schema, str(error.full_key))) from error
    except ValidationError as error:
        raise ConfigError(f"{error.full_key or 'config'}: {str(error).splitlines()[0]}") from error
    except OmegaConfBaseException as error:
        raise ConfigError(
            f"{getattr(error, 'full_key', None) or 'config'}: {str(error).splitlines()[0]}"
        ) from error
    return _instantiate(schema, plain, "")


def without_null_entries(schema: type, node: DictConfig) -> DictConfig:
    """Drop `NAME: null` in a dict of dataclasses: so a child config removes an entry of its parent."""
    return OmegaConf.create(_drop_nulls(schema, OmegaConf.to_container(node)))


def _drop_nulls(schema: type, tree: Any) -> Any:
    hints = get_type_hints(schema)
    for name in [name for name in tree if name in hints and isinstance(tree[name], dict)]:
        inner, args = dataclass_of(hints[name]), get_args(hints[name])
        if inner is not None:
            _drop_nulls(inner, tree[name])
        elif get_origin(hints[name]) is dict and dataclass_of(args[1]):
            tree[name] = {key: value for key, value in tree[name].items() if value is not None}
    return tree


def _instantiate(hint: Any, value: Any, key: str) -> Any:
    """Rebuild typed objects from plain containers: nested dataclasses, tuples, dicts of dataclasses."""
    inner = dataclass_of(hint)
    if inner is not None and isinstance(value, dict):
        hints = get_type_hints(inner)
        parts = {k: _instantiate(hints[k], v, f"{key}.{k}" if key else k) for k, v in value.items()}
        missing = [k for k, v in parts.items() if isinstance(v, str) and v == "???"]
        if missing:
            raise ConfigError(f"{key + '.' if key else ''}{missing[0]} must be given")
        try:
            return inner(**parts)
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError(f"{key}: {error}" if key else str(error)) from error
    origin, args = get_origin(hint), get_args(hint)
    if origin in (typing.Union, types.UnionType) and value is not None:
        fitting = [a for a in args if get_origin(a) in (tuple, list, dict)]
        return _instantiate(fitting[0], value, key) if fitting else value
    if origin is tuple and isinstance(value, list):
        kinds = [args[0]] * len(value) if len(args) == 2 and args[1] is Ellipsis else args
        return tuple(_instantiate(k, v, key) for k, v in zip(kinds, value, strict=True))
    if origin is list and isinstance(value, list):
        return [_instantiate(args[0], v, f"{key}[{i}]") for i, v in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {k: _instantiate(args[1], v, f"{key}.{k}") for k, v in value.items()}
    return value


def unknown_key(schema: type, full_key: str) -> str:
    """Name the unknown key and the nearest known key, or else all keys of that place."""
    scope: Any = schema
    *path, last = full_key.split(".")
    for part in path:
        hints = get_type_hints(scope) if dataclasses.is_dataclass(scope) else {}
        hint = hints.get(part, scope)
        scope = dataclass_of(hint) or (get_args(hint)[-1] if get_args(hint) else scope)
    known = [f.name for f in dataclasses.fields(scope)] if dataclasses.is_dataclass(scope) else []
    near = difflib.get_close_matches(last, known, n=1, cutoff=0.5)
    prefix = ".".join(path) + "." if path else ""
    hint_text = f"did you mean {prefix}{near[0]}?" if near else f"known keys: {', '.join(known)}"
    return f"unknown key {full_key}; {hint_text}"
