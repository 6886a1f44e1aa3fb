"""Score samples with all metrics of a config and write the results; `eval.run` is its command line."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from rich.console import Console

from eval.automatic import choose_backbones, choose_metrics
from eval.backbones.cache import FeatureCache
from eval.backbones.checksummed_weights import Networks
from eval.config import EvalConfig
from eval.core.aggregation import Aggregator
from eval.core.own_metrics import own_aggregates
from eval.core.results import Metric, Row, Score, check_slices
from eval.core.run_folder import RunFolder
from eval.distribution.memorization import Memorization
from eval.distribution.reference_statistics import ReferenceStatistics
from eval.distribution.set_metric import SetMetric
from eval.distribution.suite import SET_SCORES
from eval.judges.metric import build_judges
from eval.loaders.sample_sets import SampleSet, open_samples
from eval.measured import require_measured
from eval.neighbors import write_neighbors
from eval.network_registry import NetworkFactory
from eval.ranking import refuse_ranking_networks
from eval.registry import (
    Extraction,
    MetricSettings,
    build_extractors,
    build_metrics,
    build_own_metrics,
    build_set_metrics,
)
from eval.reports import contact_sheet, html_page, tables
from eval.reports.plain_text import as_terminal
from eval.reports.samples import load_samples, select_failures_first
from eval.reports.score_files import write_tables
from eval.reports.terminal_tables import terminal_table
from eval.scored_set import ScoredSet, require_reference, score_set
from eval.set_rows import distribution_rows
from src.core import provenance


def score(config: EvalConfig, console: Console | None = None, settings: str = "") -> dict[str, Any]:
    """Score samples and write the files that `eval.run` lists, all at once at the end.

    Args:
        settings: the config as YAML, written with the provenance of the run.

    Returns:
        The content of summary.json without its rows.

    Raises:
        NothingMeasured: a metric measured no sample at all; the files are written.
        ValueError: the samples are invalid, no sample of the reference can be read, or with `strict` a sample
            or set cannot be scored. Earlier results stay as they were, and the same command resumes.
    """
    console = console or Console()
    started = time.time()
    folder = RunFolder(config.out_folder)
    if config.videos and not Path(config.videos).is_dir():
        raise ValueError(f"videos: no such folder: {config.videos}")
    samples = open_samples(
        config.samples, prompts=config.prompts, originals=config.reference if config.videos else ""
    )
    reference_samples = open_samples(config.reference) if config.reference else None
    if config.slices:
        check_slices(config.slices, dict.fromkeys(tag for sample in samples for tag in sample.tags))
    names, backbone_names = choose_metrics(config, samples), choose_backbones(config)
    cache = FeatureCache(config.cache or folder.out / "features")
    factory = NetworkFactory(
        networks=Networks(config.weights),
        cache=cache,
        num_frames=config.num_frames,
        clips=config.clips,
        sync=config.alignment.sync,
        pairs=config.pairs,
    )
    backbones = build_extractors(backbone_names, config.local, factory)
    extractions = [Extraction(each, cache) for each in backbones]
    statistics = {name: ReferenceStatistics.load(each) for name, each in config.statistics.items()}
    constants = MetricSettings(
        alignment=config.alignment, quality=config.quality, pairs=config.pairs, bounce=config.bounce
    )
    metrics = build_metrics(names, backbones, factory, constants) if names else []
    own_metrics, set_metrics = build_own_metrics(names, config.own, backbones)
    set_metrics = [*build_set_metrics(names, backbones), *set_metrics]
    metrics += [*own_metrics, *build_judges(config.judges)]
    if reference_samples and not extractions:
        raise ValueError("reference: distances to it need a backbone, for example backbones=[efflite0]")
    all_metrics: list[Metric] = [*metrics, *extractions]
    for name in refuse_ranking_networks(samples, all_metrics):
        console.print(f"note: {name} chose these samples of several candidates; it scores its own choice")
    for each in filter(None, (samples, reference_samples)):
        each.check()
    folder.start()
    if settings:
        provenance.write(folder.unfinished, settings)
    generated = score_set(config, samples, all_metrics, folder, console, "results.jsonl")
    reference = None
    if reference_samples:
        reference = score_set(config, reference_samples, [*extractions], folder, console)
        require_reference(config, extractions, reference)
    scores = {metric.name: metric.scores for metric in metrics}
    scores |= {f"distribution_{each.name}": SET_SCORES for each in backbones}
    named = {(f"{each.name}_{x.name}", x): each for x in backbones for each in set_metrics}
    scores |= {name: each.scores for (name, _), each in named.items()}
    rows = generated.aggregator.summarize(
        scores=scores, slices=config.slices, aggregates=own_aggregates(metrics), seed=config.seed
    )
    for extraction in extractions:
        known = statistics.get(extraction.extractor.name)
        rows += _distance_rows(config, extraction, generated, reference, known, set_metrics)
    summary = {
        "measured": [
            *({"metric": each.name, **each.describe()} for each in all_metrics),
            *({"metric": name, **x.describe(), **each.describe()} for (name, x), each in named.items()),
        ],
        "num_samples": sum(generated.num_samples.values()),
        "dropped": generated.aggregator.dropped,
        "reference": reference
        and {
            "num_samples": sum(reference.num_samples.values()),
            "dropped": reference.aggregator.dropped,
        },
        "statistics": {name: {"file": each.name, "sha256": each.sha256} for name, each in statistics.items()},
        "seed": config.seed,
        "versions": {"numpy": np.__version__, "scipy": scipy.__version__},
        "seconds": round(time.time() - started, 1),
    }
    rows = [row for row in rows if row.metric in scores]
    write_tables(folder.unfinished, rows, summary, scores)
    _write_visuals(config, rows, scores, summary, folder.unfinished, samples)
    if reference and reference_samples and any(isinstance(each, Memorization) for each in set_metrics):
        sets = (generated, reference), (samples, reference_samples)
        write_neighbors(folder.unfinished, extractions, *sets, config.sheet_rows)
    folder.publish()
    _print_tables(console, config, rows, scores, generated.aggregator, folder.out)
    needed = [each.name for each in metrics] + [name for name, _ in named]
    if reference or statistics or not needed:
        needed += [each.name for each in extractions]
    require_measured(needed, rows, generated.aggregator)
    return summary


def _distance_rows(
    config: EvalConfig,
    extraction: Extraction,
    generated: ScoredSet,
    reference: ScoredSet | None,
    statistics: ReferenceStatistics | None,
    set_metrics: list[SetMetric],
) -> list[Row]:
    """Return the distances of every system to the reference by one backbone."""
    name = extraction.name
    dropped = reference.aggregator.dropped if reference else []
    return distribution_rows(
        extraction,
        generated.cached[name],
        reference.cached[name].get("", []) if reference else [],
        generated.num_samples,
        config.seed,
        num_reference=sum(reference.num_samples.values()) if reference else 0,
        reference_dropped=[each for each in dropped if each["metric"] == name],
        settings=config.sets,
        statistics=statistics,
        set_metrics=set_metrics,
        strict=config.strict,
    )


def _write_visuals(
    config: EvalConfig,
    rows: list[Row],
    scores: dict[str, dict[str, Score]],
    summary: dict[str, Any],
    out: Path,
    samples: SampleSet,
) -> None:
    """Write the contact sheet and the HTML page with the videos."""
    results = out / "results.jsonl"
    if config.sheet_rows:
        sheet = out / "contact_sheet.png"
        contact_sheet.write_contact_sheet(results, samples, sheet, config.sheet_rows, scores)
    if config.html_videos:
        picked, selection = select_failures_first(results, scores, config.html_videos)
        found = load_samples(samples, {each.key for each in picked})
        media = [(found[each.key], each) for each in picked]
        html_page.write_page(
            out / "report.html", rows, scores, summary, media, root=samples.root, selection=selection
        )


def _print_tables(
    console: Console,
    config: EvalConfig,
    rows: list[Row],
    scores: dict[str, dict[str, Score]],
    aggregator: Aggregator,
    out: Path,
) -> None:
    for metric, metric_rows in tables.by_metric(rows):
        title = tables.metric_title(metric, tables.score_names(metric_rows))
        title = f"{title}, on {Path(config.samples).name}"
        console.print(terminal_table(metric_rows, scores[metric], title, console))
        for note in dict.fromkeys(note for row in metric_rows for note in row.notes):
            console.print(as_terminal(f"note: {note}", "yellow"))
    for entry in aggregator.dropped[:10]:
        text = f"dropped {entry['id']} ({entry['metric']}): {entry['reason']}"
        console.print(as_terminal(text, "red"))
    if len(aggregator.dropped) > 10:
        more = f"and {len(aggregator.dropped) - 10} more, in {out / 'summary.json'}"
        console.print(as_terminal(more, "red"))
    written = ", contact_sheet.png" * bool(config.sheet_rows) + ", report.html" * bool(config.html_videos)
    files = f"results.jsonl, scores.jsonl, table.*, summary.json{written}"
    console.print(as_terminal(f"written to {out}: {files}"))
