"""Configs: typed dataclasses filled from YAML files and `key=value` overrides.

A YAML file may name parents with `extends:` (one path or a list, relative to the file). Files and
overrides are merged in order by OmegaConf against the dataclass, which refuses unknown keys and
wrong types; then plain frozen dataclasses travel on. This is the only module that imports omegaconf.
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

from src.core.errors import UserError

T = TypeVar("T")


class ConfigError(UserError):
    """A mistake in a config file or an override, told in one line."""


@dataclass(frozen=True)
class Arguments:
    """A parsed command line: config files, `key=value` overrides and flags."""

    configs: tuple[Path, ...]
    overrides: tuple[str, ...]
    help: bool
    print: bool


def parse_arguments(argv: list[str]) -> Arguments:
    """Split a command line into config files, overrides, `--help` and `--print`."""
    configs, overrides, flags = [], [], set()
    for arg in argv:
        if arg in ("--help", "-h", "--print"):
            flags.add(arg)
        elif "=" in arg and not arg.startswith("-"):
            overrides.append(arg)
        elif arg.endswith((".yaml", ".yml")):
            configs.append(Path(arg))
        else:
            raise ConfigError(
                f"argument {arg!r} is neither a .yaml file, a key=value override, --help nor --print"
            )
    return Arguments(tuple(configs), tuple(overrides), bool(flags & {"--help", "-h"}), "--print" in flags)


def read_tree(path: Path, seen: tuple[Path, ...] = ()) -> DictConfig:
    """Read one YAML file and everything it extends; later files win."""
    resolved = path.resolve()
    if resolved in seen:
        raise ConfigError("extends goes in a circle: " + " -> ".join(p.name for p in (*seen, resolved)))
    if not path.is_file():
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.y*ml")], n=1)
        by = f" (named in extends of {seen[-1].name})" if seen else ""
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


def read(configs: tuple[Path, ...] | list[Path], overrides: tuple[str, ...] | list[str]) -> DictConfig:
    """Merge files and overrides, without a schema yet."""
    try:
        dotlist = OmegaConf.from_dotlist(list(overrides))
    except Exception as error:
        raise ConfigError(f"override not understood: {' '.join(str(error).split())}") from error
    merged = OmegaConf.merge(*[read_tree(Path(p)) for p in configs], dotlist)
    assert isinstance(merged, DictConfig)
    return merged


def read_text(text: str) -> DictConfig:
    """One resolved snapshot, as `to_yaml` writes it."""
    node = OmegaConf.create(text)
    if not isinstance(node, DictConfig):
        raise ConfigError(f"a config's text must hold keys and values, got {type(node).__name__}")
    return node


def build(schema: type[T], node: DictConfig) -> T:
    """Check a merged tree against a dataclass and build it.

    Raises:
        ConfigError: unknown key (with the nearest known one), wrong type, or a value refused by a
            dataclass's own `__post_init__`; the message names the whole key and the value.
    """
    try:
        merged = OmegaConf.merge(OmegaConf.structured(schema), node)
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


def load(schema: type[T], path: Path | str | None, overrides: tuple[str, ...] | list[str] = ()) -> T:
    """Read one config file (or none) with overrides into a dataclass."""
    return build(schema, read([Path(path)] if path else [], overrides))


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass as plain nested dicts and lists: safe to store in a checkpoint or JSON."""
    return _plain(dataclasses.asdict(config))


def to_yaml(config: Any) -> str:
    """The resolved config as YAML; loading it again gives the same config."""
    return OmegaConf.to_yaml(OmegaConf.create(to_dict(config)))


def read_flat(path: Path) -> dict[str, Any]:
    """One snapshot file as a flat dict of dotted keys to plain values."""
    return _flatten(OmegaConf.to_container(OmegaConf.load(path)), "")


def flatten(config: Any) -> dict[str, Any]:
    """A config as a flat dict of dotted keys to plain values."""
    return _flatten(to_dict(config), "")


def flat_settings(argv: list[str]) -> dict[str, Any]:
    """What a command line's files and overrides say, as a flat dict; defaults and references left out."""
    arguments = parse_arguments(argv)
    return _flatten(OmegaConf.to_container(read(arguments.configs, arguments.overrides)), "")


def _flatten(tree: Any, prefix: str) -> dict[str, Any]:
    if not isinstance(tree, dict) or not tree:
        return {prefix[:-1]: tree}
    return {k: v for name, part in tree.items() for k, v in _flatten(part, f"{prefix}{name}.").items()}


def from_command_line(schema: type[T], argv: list[str], about: str | None) -> T | None:
    """What a command line asks for; None after `--help` (`about`, then every key) or `--print`."""
    arguments = parse_arguments(argv)
    if arguments.help:
        print((about or "").strip() + "\n\n" + help_text(schema))
        return None
    settings = build(schema, read(arguments.configs, arguments.overrides))
    if arguments.print:
        print(to_yaml(settings), end="")
        return None
    return settings


def help_text(schema: type) -> str:
    """Every key with its type, default and help, one line each."""
    rows = list(_help_rows(schema, ""))
    width = min(max((len(r[0]) for r in rows), default=0), 58)
    return "\n".join(f"  {left:<{width}}  {text}".rstrip() for left, text in rows)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def _dataclass_of(hint: Any) -> type | None:
    """The dataclass in `X` or `X | None`, else None."""
    options = get_args(hint) if get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return next((o for o in options if dataclasses.is_dataclass(o) and isinstance(o, type)), None)


def _instantiate(hint: Any, value: Any, key: str) -> Any:
    """Rebuild typed objects from plain containers: nested dataclasses, tuples, dicts of dataclasses."""
    inner = _dataclass_of(hint)
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
    """Name the unknown key, the nearest known key, and else what there is."""
    scope: Any = schema
    *path, last = full_key.split(".")
    for part in path:
        hints = get_type_hints(scope) if dataclasses.is_dataclass(scope) else {}
        hint = hints.get(part, scope)
        scope = _dataclass_of(hint) or (get_args(hint)[-1] if get_args(hint) else scope)
    known = [f.name for f in dataclasses.fields(scope)] if dataclasses.is_dataclass(scope) else []
    near = difflib.get_close_matches(last, known, n=1, cutoff=0.5)
    prefix = ".".join(path) + "." if path else ""
    hint_text = f"did you mean {prefix}{near[0]}?" if near else f"known here: {', '.join(known)}"
    return f"unknown key {full_key}; {hint_text}"


def _type_name(hint: Any) -> str:
    if get_origin(hint) is typing.Literal:
        return "|".join(str(a) for a in get_args(hint))
    if get_origin(hint) in (typing.Union, types.UnionType):
        return "|".join(_type_name(a) for a in get_args(hint))
    if hint is type(None):
        return "none"
    if get_origin(hint) is not None:
        inner = ", ".join("..." if a is Ellipsis else _type_name(a) for a in get_args(hint))
        return f"{get_origin(hint).__name__}[{inner}]"
    return getattr(hint, "__name__", str(hint))


def _help_rows(schema: type, prefix: str) -> typing.Iterator[tuple[str, str]]:
    hints = get_type_hints(schema)
    for f in dataclasses.fields(schema):
        hint, text = hints[f.name], f.metadata.get("help", "")
        inner = _dataclass_of(hint)
        keyed = get_args(hint)[1] if get_origin(hint) is dict and get_args(hint) else None
        if inner is not None:
            yield from _help_rows(inner, f"{prefix}{f.name}.")
        elif keyed is not None and _dataclass_of(keyed):
            yield f"{prefix}{f.name}.NAME", text
            yield from _help_rows(keyed, f"{prefix}{f.name}.NAME.")
        else:
            default = _default_of(f)
            yield f"{prefix}{f.name}={default}", f"{text} [{_type_name(hint)}]"


def _default_of(f: "dataclasses.Field[Any]") -> str:
    if f.default is not dataclasses.MISSING:
        return "(must be given)" if f.default == "???" else str(f.default)
    if f.default_factory is not dataclasses.MISSING:
        return str(f.default_factory())
    return "(must be given)"
