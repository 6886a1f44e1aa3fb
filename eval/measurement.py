"""Measure one sample by all metrics: one decode of its video, and a reason for each that fails."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from eval.backbones.cache import OverFeatures
from eval.backbones.extractor import FrameExtractor, description_sha256
from eval.core.audio_metric import AudioMetric, AudioPairMetric
from eval.core.audio_pass import AudioPairStart, AudioStart, run_audio_pass
from eval.core.frame_metric import FrameMetric, PairMetric, bind
from eval.core.frame_pass import run_pass
from eval.core.frame_tasks import FrameStart, PairStart
from eval.core.journal import Journal
from eval.core.manifest import Sample
from eval.core.results import Item, Measurement, Metric, Record
from eval.registry import Extraction

MAX_REASON = 500  # characters

Result = Measurement | Exception


def measure_sample(
    sample: Sample, *, root: Path, metrics: list[Metric], journal: Journal | None = None
) -> list[Record]:
    """Score one sample by all metrics, from one decode of its video; a failure becomes a record.

    Any exception of a metric drops this measurement only, with the exception's message (and its type, if it
    is no ValueError, by which metrics refuse samples).

    Args:
        journal: measurements of an interrupted run, which are not repeated; new ones are added. Features are
            not among them, for they are in their cache.
    """
    item = Item(sample, root)
    resumable = {
        each.name: each for each in metrics if journal is not None and not isinstance(each, Extraction)
    }
    keys = {name: journal.key(sample, root, each) for name, each in resumable.items()} if journal else {}
    found: dict[str, Result] = {}
    for name, key in keys.items():
        if journal is not None and (earlier := journal.find(key)) is not None:
            found[name] = Measurement(**earlier)
    for name, result in measure_all(item, [each for each in metrics if each.name not in found]):
        if journal is not None and name in keys and isinstance(result, Measurement):
            journal.add(keys[name], asdict(result))
        found[name] = result
    return [_record(item, each.name, found[each.name]) for each in metrics]


def measure_all(item: Item, metrics: list[Metric]) -> Iterator[tuple[str, Result]]:
    """Yield the result of each metric: first those of the passes over frames and audio, then all others."""
    passed = _pass_over_frames(item, metrics)
    passed.metrics |= _pass_over_audio(item, metrics)
    for metric in metrics:
        if metric.name in passed.metrics:
            yield metric.name, _check(passed.metrics[metric.name])
    for metric in metrics:
        if metric.name in passed.metrics:
            continue
        failed = (
            passed.failed_extractors.get(_rows_name(metric)) if isinstance(metric, OverFeatures) else None
        )
        if failed is not None:
            yield metric.name, failed
            continue
        try:
            result: Result = metric.measure(item)
        except Exception as error:
            result = error
        yield metric.name, _check(result)


@dataclass
class _Passed:
    """Results of the pass over the frames; features that could be extracted are in their cache."""

    metrics: dict[str, Result] = field(default_factory=dict)
    failed_extractors: dict[str, Exception] = field(default_factory=dict)


def _pass_over_frames(item: Item, metrics: list[Metric]) -> _Passed:
    """Decode the video once for all metrics of frames and all backbones without cached features."""
    tasks: dict[str, FrameStart] = {
        m.name: bind(m.observe, item) for m in metrics if isinstance(m, FrameMetric)
    }
    pairs: dict[str, PairStart] = {
        m.name: bind(m.observe_pairs, item) for m in metrics if isinstance(m, PairMetric)
    }
    users = {_rows_name(m): m for m in metrics if isinstance(m, OverFeatures) and _needs_frames(m, item)}
    tasks |= {name: each.extractor.observe for name, each in users.items()}
    passed = _Passed()
    if not tasks and not pairs:
        return passed
    try:
        config = next((m.pairs for m in metrics if isinstance(m, PairMetric)), None)
        results = run_pass(item.frames_path, tasks, pairs, lambda: item.path("reference"), config)
    except Exception as error:
        results = dict.fromkeys([*tasks, *pairs], error)
    for name, user in users.items():
        rows = results.pop(name)
        try:
            if isinstance(rows, Exception):
                raise rows
            user.cache.store(user.extractor, item.frames_path, rows)
        except Exception as error:
            passed.failed_extractors[name] = error
    passed.metrics = results
    return passed


def _pass_over_audio(item: Item, metrics: list[Metric]) -> dict[str, Result]:
    """Decode the audio once for all metrics that listen to it."""
    tasks: dict[str, AudioStart] = {
        m.name: partial(m.observe_audio, item) for m in metrics if isinstance(m, AudioMetric)
    }
    pairs: dict[str, AudioPairStart] = {
        m.name: partial(m.observe_audio_pairs, item) for m in metrics if isinstance(m, AudioPairMetric)
    }
    if not tasks and not pairs:
        return {}
    try:
        return run_audio_pass(item.audio_path, tasks, pairs, lambda: item.path("reference"))
    except Exception as error:
        return dict.fromkeys([*tasks, *pairs], error)


def _rows_name(metric: OverFeatures) -> str:
    """Return a name for the features of a backbone, which no metric has."""
    return f"rows of {description_sha256(metric.extractor)}"


def _needs_frames(metric: OverFeatures, item: Item) -> bool:
    """Return whether features have to be extracted; metrics report what is wrong with the file."""
    extractor = metric.extractor
    if not isinstance(extractor, FrameExtractor) or extractor.media != "video":
        return False
    try:
        return not metric.cache.find(extractor, item.frames_path)
    except (ValueError, OSError):
        return False


def _check(result: Any) -> Result:
    """Return the result, or what is wrong with it."""
    if isinstance(result, Exception):
        return result
    try:
        if bad := [name for name, value in result.values.items() if not np.isfinite(value)]:
            raise ValueError(f"{bad[0]}: the metric returned a value that is not finite")
        json.dumps([result.values, result.detail, result.pooled])
    except Exception as error:
        return error
    return result


def _record(item: Item, metric: str, result: Result) -> Record:
    failed = isinstance(result, Exception)
    measured = Measurement({}) if isinstance(result, Exception) else result
    return Record(
        id=item.sample.id,
        system=item.sample.system,
        prompt=item.sample.prompt,
        tags=item.sample.tags,
        metric=metric,
        values=None if failed else measured.values,
        detail={"error": type(result).__name__} if failed else measured.detail,
        dropped=describe_failure(result, item.root) if isinstance(result, Exception) else None,
        pooled=measured.pooled,
        reference=item.reference_sha256,
    )


def describe_failure(error: Exception, root: Path) -> str:
    """Return an exception in one line: its message, after its type if it is no ValueError."""
    message = " ".join(str(error).replace(str(root) + "/", "").split())[:MAX_REASON]
    if isinstance(error, ValueError) and message:
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
