"""Configs: typed dataclasses filled from YAML files and `key=value` overrides.

A YAML file may name parents with `extends:` (one path or a list, relative to the file). Files and
overrides are merged in order by OmegaConf against the dataclass, which refuses unknown keys and
wrong types; everything after that works with plain frozen dataclasses. Only `src.core` imports omegaconf.
"""

import dataclasses
import difflib
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException, ValidationError

from src.core.config_help import help_text
from src.core.errors import UserError
from src.core.overrides import OverrideError, dataclass_of, parse_overrides

T = TypeVar("T")
HELP = ("--help", "-h")


class ConfigError(UserError):
    """A mistake in a config file or an override, reported in one line."""


@dataclass(frozen=True)
class Arguments:
    """A parsed command line: config files, `key=value` overrides and flags.

    `topics` are the words beside `--help`: a kind of run, or the beginning of the keys to show.
    """

    configs: tuple[Path, ...]
    overrides: tuple[str, ...]
    help: bool
    print: bool
    topics: tuple[str, ...] = ()


def parse_arguments(argv: list[str]) -> Arguments:
    """Split a command line into config files, overrides, `--help` and `--print`.

    Raises:
        ConfigError: an argument is none of these; the message says how to write it.
    """
    configs, overrides, flags, topics = [], [], set(), []
    wants_help = any(arg in HELP for arg in argv)
    for arg in argv:
        if arg in (*HELP, "--print"):
            flags.add(arg)
        elif "=" in arg and not arg.startswith("-"):
            overrides.append(arg)
        elif arg.endswith((".yaml", ".yml")):
            configs.append(Path(arg))
        elif wants_help and not arg.startswith("-"):
            topics.append(arg)
        else:
            raise ConfigError(
                f"argument {arg!r} is neither a .yaml file, a key=value override, --help nor --print"
                + _syntax_hint(arg)
            )
    return Arguments(tuple(configs), tuple(overrides), wants_help, "--print" in flags, tuple(topics))


def _syntax_hint(arg: str) -> str:
    if arg in ("--config", "-c"):
        return "; name the .yaml file without a flag"
    if arg.startswith("--"):
        key, _, value = arg[2:].partition("=")
        return f"; write {key}={value or 'VALUE'}"
    return ""


def read_tree(path: Path, seen: tuple[Path, ...] = ()) -> DictConfig:
    """Read one YAML file and everything it extends; later files win."""
    resolved = path.resolve()
    if resolved in seen:
        raise ConfigError("circular extends: " + " -> ".join(p.name for p in (*seen, resolved)))
    if not path.is_file():
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.y*ml")], n=1)
        by = f" (extended by {seen[-1].name})" if seen else ""
        raise ConfigError(
            f"config file not found: {path}{by}" + (f"; did you mean {near[0]}?" if near else "")
        )
    try:
        node = OmegaConf.load(path)
    except Exception as error:  # the YAML parser has many error types; its text carries line and column
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(node, DictConfig):
        raise ConfigError(f"{path}: expected keys and values at the top, got {type(node).__name__}")
    parents = node.pop("extends", [])
    names = list(parents) if isinstance(parents, ListConfig | list) else [parents]
    trees = [read_tree(path.parent / name, (*seen, resolved)) for name in names]
    merged = OmegaConf.merge(*trees, node)
    assert isinstance(merged, DictConfig)
    return merged


def read(
    configs: tuple[Path, ...] | list[Path],
    overrides: tuple[str, ...] | list[str],
    schema: type | None = None,
) -> DictConfig:
    """Merge files and overrides; the result is not checked yet.

    Args:
        schema: the dataclass to be built, which decides how an override's text is read: a `str` field takes
            it verbatim. Without one, all overrides are read as YAML values.
    """
    try:
        values = parse_overrides(schema, overrides)
    except OverrideError as error:
        raise ConfigError(str(error)) from error
    tree = OmegaConf.merge({}, *[read_tree(Path(path)) for path in configs])
    assert isinstance(tree, DictConfig)
    for key, value in values:
        OmegaConf.update(tree, key, value, force_add=True)
    return tree


def read_text(text: str) -> DictConfig:
    """Read one resolved snapshot, as `to_yaml` writes it."""
    node = OmegaConf.create(text)
    if not isinstance(node, DictConfig):
        raise ConfigError(f"a config's text must hold keys and values, got {type(node).__name__}")
    return node


def build(schema: type[T], node: DictConfig) -> T:
    """Check a merged tree against a dataclass and build it.

    Raises:
        ConfigError: unknown key (with the nearest known one), wrong type, or a value refused by a
            dataclass's own `__post_init__`; the message names the full key and the value.
    """
    try:
        merged = OmegaConf.merge(OmegaConf.structured(schema), _without_null_entries(schema, node))
        plain = OmegaConf.to_container(merged, resolve=True)
    except ConfigKeyError as error:
        raise ConfigError(_unknown_key(schema, str(error.full_key))) from error
    except ValidationError as error:
        raise ConfigError(f"{error.full_key or 'config'}: {str(error).splitlines()[0]}") from error
    except OmegaConfBaseException as error:
        raise ConfigError(
            f"{getattr(error, 'full_key', None) or 'config'}: {str(error).splitlines()[0]}"
        ) from error
    return _instantiate(schema, plain, "")


def _without_null_entries(schema: type, node: DictConfig) -> DictConfig:
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


def load(schema: type[T], path: Path | str | None, overrides: tuple[str, ...] | list[str] = ()) -> T:
    """Read one config file (or none) with overrides into a dataclass."""
    return build(schema, read([Path(path)] if path else [], overrides, schema))


def to_dict(config: Any) -> dict[str, Any]:
    """Return a dataclass as plain nested dicts and lists: safe to store in a checkpoint or JSON."""
    return _plain(dataclasses.asdict(config))


def to_yaml(config: Any) -> str:
    """Return the resolved config as YAML; loading it again gives the same config."""
    return OmegaConf.to_yaml(OmegaConf.create(to_dict(config)))


def read_flat(path: Path) -> dict[str, Any]:
    """Read one snapshot file as a flat dict of dotted keys to plain values."""
    return _flatten(OmegaConf.to_container(OmegaConf.load(path)), "")


def flatten(config: Any) -> dict[str, Any]:
    """Return a config as a flat dict of dotted keys to plain values."""
    return _flatten(to_dict(config), "")


def flat_settings(argv: list[str]) -> dict[str, Any]:
    """Return what a command line's files and overrides set, as a flat dict; defaults are left out."""
    arguments = parse_arguments(argv)
    return _flatten(OmegaConf.to_container(read(arguments.configs, arguments.overrides)), "")


def resumable_keys(config: Any, prefix: str = "") -> set[str]:
    """Return the dotted keys that a resumed run may change: fields marked `resumable` in their `opt`."""
    keys = set()
    for each in dataclasses.fields(config):
        value, key = getattr(config, each.name), f"{prefix}{each.name}"
        if each.metadata.get("resumable"):
            keys |= {k for k in _flatten({each.name: _plain_value(value)}, prefix)} | {key}
        elif dataclasses.is_dataclass(value):
            keys |= resumable_keys(value, f"{key}.")
        elif isinstance(value, dict):
            for name, part in value.items():
                keys |= resumable_keys(part, f"{key}.{name}.") if dataclasses.is_dataclass(part) else set()
    return keys


def _plain_value(value: Any) -> Any:
    return to_dict(value) if dataclasses.is_dataclass(value) else _plain(value)


def _flatten(tree: Any, prefix: str) -> dict[str, Any]:
    if not isinstance(tree, dict) or not tree:
        return {prefix[:-1]: tree}
    return {k: v for name, part in tree.items() for k, v in _flatten(part, f"{prefix}{name}.").items()}


def from_command_line(schema: type[T], argv: list[str], about: str | None) -> T | None:
    """Build what a command line asks for; None after `--help` (`about`, then the keys) or `--print`."""
    arguments = parse_arguments(argv)
    tree = read(arguments.configs, arguments.overrides, schema)
    if arguments.help:
        print((about or "").strip() + "\n\n" + help_text(schema, defaults(schema, tree), arguments.topics))
        return None
    settings = build(schema, tree)
    if arguments.print:
        print(to_yaml(settings), end="")
        return None
    return settings


def defaults(schema: type, tree: DictConfig) -> dict[str, Any]:
    """Return by dotted key the defaults that `--help` shows: a config file's, else the dataclass's."""
    try:
        merged = OmegaConf.merge(OmegaConf.structured(schema), _without_null_entries(schema, tree))
    except OmegaConfBaseException as error:
        raise ConfigError(
            _unknown_key(schema, str(error.full_key))
            if isinstance(error, ConfigKeyError)
            else str(error).splitlines()[0]
        ) from error
    return _flatten(OmegaConf.to_container(merged), "")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value


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


def _unknown_key(schema: type, full_key: str) -> str:
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
