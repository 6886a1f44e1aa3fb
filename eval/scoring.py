"""Score a manifest with all metrics of a config and write the results; `eval.run` is its command line."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from eval.backbones.cache import FeatureCache
from eval.backbones.checksummed_weights import Networks
from eval.catalog import FACTS_METRICS, expand_metrics
from eval.config import EvalConfig
from eval.core.manifest import iter_manifest
from eval.core.results import Aggregator, Metric, Row, Score
from eval.distribution.reference_statistics import ReferenceStatistics
from eval.distribution.suite import SET_SCORES
from eval.network_registry import NetworkFactory
from eval.pipeline import CachedSample, distribution_rows, score_samples
from eval.registry import Extraction, build_extractors, build_metrics
from eval.reports import contact_sheet, html_page, tables
from eval.reports.samples import load_samples, select_failures_first


def score(config: EvalConfig, console: Console | None = None) -> dict[str, Any]:
    """Score a manifest and write the files that `eval.run` lists.

    Returns:
        The content of summary.json without its rows.

    Raises:
        ValueError: the manifest is invalid, no sample can be scored, or with `strict` a sample or set cannot.
    """
    console = console or Console()
    started = time.time()
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    cache = FeatureCache(config.cache or out / "features")
    factory = NetworkFactory(
        networks=Networks(config.weights), cache=cache, num_frames=config.num_frames, clips=config.clips
    )
    backbones = build_extractors(config.backbones, config.local, factory)
    extractions = [Extraction(each, cache) for each in backbones]
    statistics = {name: ReferenceStatistics.load(each) for name, each in config.statistics.items()}
    metrics = build_metrics(config.metrics, backbones, factory) if config.metrics else []
    _require_facts(config)
    with _progress(console) as progress:
        all_metrics: list[Metric] = [*metrics, *extractions]
        generated = _score_manifest(config, config.manifest, all_metrics, progress, out / "results.jsonl")
        reference = None
        if config.reference:
            reference = _score_manifest(config, config.reference, [*extractions], progress)
    rows = generated.aggregator.summarize(slices=config.slices, seed=config.seed)
    for extraction in extractions:
        name = extraction.name
        rows += distribution_rows(
            extraction,
            generated.cached[name],
            reference.cached[name].get("", []) if reference else [],
            generated.num_samples,
            config.seed,
            statistics=statistics.get(extraction.extractor.name),
            strict=config.strict,
        )
    of_reference = None
    if reference:
        of_reference = {
            "num_samples": sum(reference.num_samples.values()),
            "dropped": reference.aggregator.dropped,
        }
    summary = {
        "measured": [{"metric": each.name, **each.describe()} for each in all_metrics],
        "num_samples": sum(generated.num_samples.values()),
        "dropped": generated.aggregator.dropped,
        "reference": of_reference,
        "statistics": {name: {"file": each.name, "sha256": each.sha256} for name, each in statistics.items()},
        "seed": config.seed,
        "versions": {"numpy": np.__version__, "scipy": scipy.__version__},
        "seconds": round(time.time() - started, 1),
    }
    scores = {metric.name: metric.scores for metric in metrics}
    scores |= {f"distribution_{each.name}": SET_SCORES for each in backbones}
    rows = [row for row in rows if row.metric in scores]
    tables.write_tables(out, rows, summary, scores)
    _write_visuals(config, rows, scores, summary, out)
    _print_tables(console, config, rows, scores, generated.aggregator, out)
    if not any(row.num_scored for row in rows):
        reason = summary["dropped"][0]
        raise ValueError(
            f"nothing was measured: every sample was dropped, first {reason['id']} ({reason['metric']}): "
            f"{reason['reason']}"
        )
    return summary


def _require_facts(config: EvalConfig) -> None:
    """Raise ValueError if all metrics need facts and no sample has any, before media are decoded."""
    only_facts = set(expand_metrics(config.metrics)) <= set(FACTS_METRICS)
    if not only_facts or config.backbones or config.local:
        return
    if all(sample.facts is None for sample in iter_manifest(config.manifest, check_files=False)):
        raise ValueError(
            f"{config.manifest}: no sample has `facts`, which metrics={','.join(config.metrics)} needs; for "
            "other videos use metrics=low_level, or metrics=video backbones=efflite0 (all metrics: --help)"
        )


@dataclass(frozen=True)
class _ScoredManifest:
    aggregator: Aggregator
    num_samples: dict[str, int]  # by system
    cached: dict[str, dict[str, list[CachedSample]]]  # by extraction, by system


def _score_manifest(
    config: EvalConfig, manifest: str, metrics: list[Metric], progress: Progress, results: Path | None = None
) -> _ScoredManifest:
    """Run all metrics over a manifest; collect values and, for extractions, the samples in the cache.

    The reference (`results` is None) counts as one system, and the samples' `system` is ignored.
    """
    total = sum(1 for _ in iter_manifest(manifest, check_files=False))
    scored = _ScoredManifest(Aggregator(), {}, {metric.name: {} for metric in metrics})
    task = progress.add_task("scoring samples" if results else "reading the reference", total=total)
    with (results or Path(os.devnull)).open("w", encoding="utf-8") as lines:
        for group in score_samples(manifest, metrics, config.num_workers):
            system = group[0].system if results else ""
            scored.num_samples[system] = scored.num_samples.get(system, 0) + 1
            for record, metric in zip(group, metrics, strict=True):
                if config.strict and record.dropped is not None:
                    raise ValueError(f"{manifest}: sample {record.id!r}: {record.metric}: {record.dropped}")
                lines.write(record.to_json() + "\n")
                scored.aggregator.add(record)
                cached = scored.cached[metric.name].setdefault(system, [])
                if isinstance(metric, Extraction) and record.dropped is None:
                    cached.append(CachedSample(record.detail["features"], record.prompt or record.id))
            progress.advance(task)
    return scored


def _write_visuals(
    config: EvalConfig,
    rows: list[Row],
    scores: dict[str, dict[str, Score]],
    summary: dict[str, Any],
    out: Path,
) -> None:
    """Write the contact sheet and the HTML page with the videos."""
    results = out / "results.jsonl"
    if config.sheet_rows:
        sheet = out / "contact_sheet.png"
        contact_sheet.write_contact_sheet(results, config.manifest, sheet, config.sheet_rows, scores)
    if config.html_videos:
        picked, selection = select_failures_first(results, scores, config.html_videos)
        samples = load_samples(config.manifest, {each.key for each in picked})
        media = [(samples[each.key], each) for each in picked]
        root = Path(config.manifest).resolve().parent
        html_page.write_page(
            out / "report.html", rows, scores, summary, media, root=root, selection=selection
        )


def _progress(console: Console) -> Progress:
    parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*parts, console=console, transient=True)


def _print_tables(
    console: Console,
    config: EvalConfig,
    rows: list[Row],
    scores: dict[str, dict[str, Score]],
    aggregator: Aggregator,
    out: Path,
) -> None:
    for metric in dict.fromkeys(row.metric for row in rows):
        metric_rows = [row for row in rows if row.metric == metric]
        title = f"{metric} on {Path(config.manifest).name}"
        console.print(tables.terminal_table(metric_rows, scores[metric], title, console))
        for note in dict.fromkeys(note for row in metric_rows for note in row.notes):
            console.print(f"note: {note}", style="yellow", markup=False, highlight=False)
    for entry in aggregator.dropped[:10]:
        console.print(
            f"dropped {entry['id']} ({entry['metric']}): {entry['reason']}",
            style="red",
            markup=False,
            highlight=False,
        )
    if len(aggregator.dropped) > 10:
        console.print(f"and {len(aggregator.dropped) - 10} more, in {out / 'summary.json'}", style="red")
    written = ", contact_sheet.png" * bool(config.sheet_rows) + ", report.html" * bool(config.html_videos)
    console.print(f"written to {out}: results.jsonl, scores.jsonl, table.*, summary.json{written}")
