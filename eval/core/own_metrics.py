"""Metrics of the user's own code: `package.module:Class` and entry points, checked before any media is read.

A class names itself and its values (`name`, `scores`, `axis`) and has `measure` (or is a `FrameMetric`,
`PairMetric`, `AudioMetric` or `AudioPairMetric`) for single samples, or `measure_set` for sets. Its
parameters are the arguments of its constructor. docs/own_metric.md has an example.
"""

import importlib
import inspect
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from eval.core.axes import Axis, declare_axis
from src.core.hashing import file_sha256
from src.core.suggestions import did_you_mean

GROUP = "moviegen.metrics"
"""The group of entry points in which installed packages name metrics."""

_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@cache
def entry_point_names() -> dict[str, EntryPoint]:
    """Return the metrics of installed packages by name."""
    return {each.name: each for each in entry_points(group=GROUP)}


def is_own_metric(name: str) -> bool:
    """Return whether a name has the form of a path to a class, or is that of an entry point."""
    return bool(_PATH.fullmatch(name)) or name in entry_point_names()


def parameters_key(name: str) -> str:
    """Return the key of a metric's parameters in the config: the name of its class or entry point."""
    return name.rpartition(":")[2]


@dataclass(frozen=True)
class Description:
    """In place of a metric's `describe`: what the class says, and which code and parameters it is."""

    content: dict[str, Any]

    def __call__(self) -> dict[str, Any]:
        return dict(self.content)


def build_own_metric(name: str, parameters: Mapping[str, Any], taken: Collection[str] = ()) -> Any:
    """Import and construct a metric.

    Args:
        name: `package.module:Class`, or the name of an entry point.
        parameters: arguments of the constructor.
        taken: names that other metrics have.

    Raises:
        ValueError: it cannot be imported, is no metric, or does not take these parameters.
    """
    kind = _load(name)
    _check_parameters(name, kind, parameters)
    try:
        metric = kind(**parameters)
    except Exception as error:
        raise ValueError(f"metrics: {name}: {type(error).__name__}: {error}") from error
    _check_metric(name, metric, taken)
    own = metric.describe() if hasattr(metric, "describe") else {}
    source = inspect.getsourcefile(kind)
    path = f"{kind.__module__}:{kind.__qualname__}"
    content = {**own, "own": path, "axis": [metric.axis.name, metric.axis.sub_axis], **parameters}
    if source is not None:
        content["code_sha256"] = file_sha256(Path(source))
    metric.describe = Description(content)
    declare_axis(metric.name, metric.axis)
    return metric


def own_aggregates(metrics: Iterable[Any]) -> dict[str, Any]:
    """Return the `aggregate` of each metric that makes the table's values itself, by name."""
    return {each.name: each.aggregate for each in metrics if hasattr(each, "aggregate")}


def _load(name: str) -> Any:
    """Return the class."""
    found = entry_point_names().get(name)
    module_name, _, attribute = (found.value if found else name).partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        hint = "; is its folder in PYTHONPATH?" if isinstance(error, ModuleNotFoundError) else ""
        raise ValueError(f"metrics: {name}: {type(error).__name__}: {error}{hint}") from error
    if not hasattr(module, attribute):
        known = [each for each in vars(module) if not each.startswith("_")]
        raise ValueError(
            f"metrics: {name}: {module_name} has no {attribute}; {did_you_mean(attribute, known)}"
        )
    return getattr(module, attribute)


def _check_parameters(name: str, kind: Any, parameters: Mapping[str, Any]) -> None:
    try:
        known = inspect.signature(kind).parameters
    except (TypeError, ValueError):
        raise ValueError(f"metrics: {name} is no class") from None
    takes_all = any(each.kind is each.VAR_KEYWORD for each in known.values())
    for each in parameters:
        if each not in known and not takes_all:
            raise ValueError(
                f"own.{parameters_key(name)}.{each}: no such parameter; {did_you_mean(each, known)}"
            )
    required = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    for each, parameter in known.items():
        if parameter.kind in required and parameter.default is parameter.empty and each not in parameters:
            raise ValueError(f"own.{parameters_key(name)}.{each} must be given")


def _check_metric(name: str, metric: Any, taken: Collection[str]) -> None:
    measures = [each for each in ("measure", "measure_set") if callable(getattr(metric, each, None))]
    problem = (
        "`name` must be a text of letters, digits and _"
        if not re.fullmatch(r"\w+", str(getattr(metric, "name", "")))
        else f"`name` is {metric.name!r}, as of another metric"
        if metric.name in taken
        else "`scores` must describe its values: a dict of eval.core.results.Score by name"
        if not isinstance(getattr(metric, "scores", None), dict) or not metric.scores
        else "`axis` must be an eval.core.axes.Axis"
        if not isinstance(getattr(metric, "axis", None), Axis)
        else "it needs `measure`, for single samples, or `measure_set`"
        if not measures
        else ""
    )
    if problem:
        raise ValueError(f"metrics: {name} is no metric: {problem} (docs/own_metric.md)")
