"""Run all metrics over a set of samples and collect their values and cached features."""

import os
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from eval.config import EvalConfig
from eval.core.aggregation import Aggregator
from eval.core.results import Metric
from eval.core.run_folder import RunFolder
from eval.loaders.sample_sets import SampleSet
from eval.pipeline import score_samples
from eval.registry import Extraction
from eval.set_rows import CachedSample
from src.core.progress import progress


@dataclass(frozen=True)
class ScoredSet:
    """Values of a set of samples, and of extractions the samples whose features are in the cache."""

    aggregator: Aggregator
    num_samples: dict[str, int]  # by system
    cached: dict[str, dict[str, list[CachedSample]]]  # by extraction, by system


def score_set(
    config: EvalConfig,
    samples: SampleSet,
    metrics: list[Metric],
    folder: RunFolder,
    console: Console,
    results: str = "",
) -> ScoredSet:
    """Run all metrics over samples; collect values and, for extractions, the samples in the cache.

    The reference (no `results` are written) counts as one system, and the samples' `system` is ignored.
    """
    total = sum(1 for _ in samples)
    scored = ScoredSet(Aggregator(), {}, {metric.name: {} for metric in metrics})
    title = "scoring samples" if results else "reading the reference"
    out = folder.unfinished / results if results else Path(os.devnull)
    with (
        out.open("w", encoding="utf-8", errors="backslashreplace") as lines,
        progress(title, total, console=console) as advance,
    ):
        groups = score_samples(samples, samples.root, metrics, config.num_workers, folder.journal)
        for group in groups:
            system = group[0].system if results else ""
            scored.num_samples[system] = scored.num_samples.get(system, 0) + 1
            for record, metric in zip(group, metrics, strict=True):
                if config.strict and record.dropped is not None:
                    raise ValueError(
                        f"{samples.path}: sample {record.id!r}: {record.metric}: {record.dropped}"
                    )
                lines.write(record.to_json() + "\n")
                scored.aggregator.add(record)
                cached = scored.cached[metric.name].setdefault(system, [])
                if isinstance(metric, Extraction) and record.dropped is None:
                    key = record.detail["features"]
                    cached.append(CachedSample(key, record.prompt or record.id, record.id))
            advance(1)
    return scored


def require_reference(config: EvalConfig, extractions: list[Extraction], reference: ScoredSet) -> None:
    """Raise ValueError if no sample of the reference could be read for some backbone."""
    for extraction in extractions:
        if not reference.cached[extraction.name].get(""):
            first = next(each for each in reference.aggregator.dropped if each["metric"] == extraction.name)
            raise ValueError(
                f"reference: no sample of {config.reference} could be read for {extraction.extractor.name}, "
                f"first {first['id']}: {first['reason']}"
            )
