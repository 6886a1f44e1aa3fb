"""Configs: typed dataclasses filled from YAML files and `key=value` overrides.

A YAML file may name parents with `extends:` (one path or a list, relative to the file). Files and
overrides are merged in order by OmegaConf against the dataclass, which rejects unknown keys and
wrong types; everything after that works with plain frozen dataclasses. Only `src.core` imports omegaconf.
"""

import dataclasses
import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from src.core.config_build import ConfigError, build, unknown_key, without_null_entries
from src.core.config_help import help_text
from src.core.overrides import OverrideError, parse_overrides

T = TypeVar("T")
HELP = ("--help", "-h")


@dataclass(frozen=True)
class Arguments:
    """A parsed command line: config files, `key=value` overrides and flags.

    `topics` are the arguments after `--help`: a kind of run, or the beginning of the keys to show.
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


def read_kind(configs: tuple[Path, ...] | list[Path], overrides: tuple[str, ...] | list[str]) -> DictConfig:
    """Merge files with `experiment=` alone: the kind of run decides how the other overrides are read."""
    return read(configs, [text for text in overrides if text.startswith("experiment=")])


def read_text(text: str) -> DictConfig:
    """Read one resolved snapshot, as `to_yaml` writes it."""
    node = OmegaConf.create(text)
    if not isinstance(node, DictConfig):
        raise ConfigError(f"a config's text must hold keys and values, got {type(node).__name__}")
    return node


def load(schema: type[T], path: Path | str | None, overrides: tuple[str, ...] | list[str] = ()) -> T:
    """Read one config file (or none) with overrides into a dataclass."""
    return build(schema, read([Path(path)] if path else [], overrides, schema))


def to_dict(config: Any) -> dict[str, Any]:
    """Return a dataclass as plain nested dicts and lists: safe to store in a checkpoint or JSON."""
    return _plain(dataclasses.asdict(config))


def to_yaml(config: Any) -> str:
    """Return the resolved config as YAML; loading it again gives the same config."""
    return tree_to_yaml(to_dict(config))


def tree_to_yaml(tree: dict[str, Any]) -> str:
    """Return a plain dictionary as YAML."""
    return OmegaConf.to_yaml(OmegaConf.create(tree))


def read_flat(path: Path) -> dict[str, Any]:
    """Read one snapshot file as a flat dict of dotted keys to plain values."""
    return _flatten(OmegaConf.to_container(OmegaConf.load(path)), "")


def flatten(config: Any) -> dict[str, Any]:
    """Return a config as a flat dict of dotted keys to plain values."""
    return _flatten(to_dict(config), "")


def flat_settings(argv: list[str]) -> dict[str, Any]:
    """Return what a command line's files and overrides set, as a flat dict; defaults are left out.

    The command's schema is not known here: an override that is no YAML value is taken as text.
    """
    arguments = parse_arguments(argv)
    tree = read(arguments.configs, ())
    for override in arguments.overrides:
        try:
            ((key, value),) = parse_overrides(None, [override])
        except OverrideError:
            key, _, value = override.partition("=")
        OmegaConf.update(tree, key, value, force_add=True)
    return _flatten(OmegaConf.to_container(tree), "")


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
    """Build the config of a command line; None after `--help` (`about`, then the keys) or `--print`."""
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
        merged = OmegaConf.merge(OmegaConf.structured(schema), without_null_entries(schema, tree))
    except OmegaConfBaseException as error:
        raise ConfigError(
            unknown_key(schema, str(error.full_key))
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
