"""Score a manifest: `python -m eval.run [CONFIG.yaml] manifest=FILE.jsonl out=FOLDER [key=value ...]`.

Writes into `out`: results.jsonl (a line for every sample and metric, dropped ones with their reason),
scores.jsonl (a line for every number: what was measured, how, on how many, its interval), tables as
table.md, table.tex and table.csv, summary.json, report.html (with the films) and contact_sheet.png.
"""

import os
import sys
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from eval.backbones.cache import FeatureCache
from eval.backbones.checksummed_weights import ROLES, Networks, WeightsConfig
from eval.backbones.frame_networks import ClipsConfig
from eval.backbones.user_program import LocalConfig
from eval.core.manifest import iter_manifest
from eval.core.results import Metric, Row, Score, Tally
from eval.distribution.reference_statistics import Published, StatisticsConfig
from eval.distribution.suite import SET_SCORES
from eval.network_registry import NETWORK_BACKBONES, Setup
from eval.pipeline import Kept, records, set_rows
from eval.registry import BACKBONES, KNOWN, SUITES, Extraction, build, expand, extractors
from eval.reports import contact_sheet, html_page, tables
from src.core import provenance
from src.core.cli import run as run_command
from src.core.config import from_command_line, to_yaml
from src.core.errors import UserError
from src.core.fields import opt

_METRICS_HELP = f"{', '.join(KNOWN)}; suites: {', '.join(SUITES)}"
_BACKBONES_HELP = ", ".join((*BACKBONES, *NETWORK_BACKBONES))


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """What to score, by which metrics, and where to put it."""

    manifest: str = opt("???", "JSONL manifest of samples (see eval/core/manifest.py)")
    out: str = opt("???", "folder for results; made if it is not there")
    metrics: tuple[str, ...] = opt(("bounce",), f"metrics to compute: {_METRICS_HELP}")
    reference: str = opt("", "manifest of real samples, for distances between sets; empty for none")
    statistics: dict[str, StatisticsConfig] = opt({}, "instead, a file of mean and covariance by backbone")
    backbones: tuple[str, ...] = opt((), f"backbones of features: {_BACKBONES_HELP}")
    weights: dict[str, WeightsConfig] = opt({}, f"networks on this machine by role: {', '.join(ROLES)}")
    local: dict[str, LocalConfig] = opt({}, "further backbones by name, from files on this machine")
    num_frames: int = opt(16, "frames of a film for networks of pictures by role, evenly; 0 for all")
    clips: ClipsConfig = opt(ClipsConfig(), "clips of a film for i3d")
    cache: str = opt("", "folder of cached features, may be shared; empty means OUT/features")
    slices: tuple[str, ...] = opt((), "tags to cut the table by; none means every tag that occurs")
    strict: bool = opt(False, "stop at the first sample or set that cannot be scored instead of counting it")
    num_workers: int = opt(0, "processes that read films; 0 reads in this one. Results do not depend on it")
    seed: int = opt(0, "seed of the bootstrap and of subsets")
    sheet_rows: int = opt(32, "samples on the contact sheet; 0 draws none")
    html_films: int = opt(24, "films inside report.html; 0 writes no page")

    def __post_init__(self) -> None:
        if not self.metrics and not self.backbones and not self.local:
            raise ValueError("metrics: nothing to compute; name some metrics or backbones")
        expand(self.metrics)
        if self.statistics and self.reference:
            raise ValueError("statistics: `reference` gives the same distances; leave one of them out")
        for name in self.statistics:
            if name not in {*self.backbones, *self.local}:
                raise ValueError(f"statistics: {name!r} is no backbone of this run; name it in backbones")
        for key in ("num_frames", "num_workers", "sheet_rows", "html_films"):
            if getattr(self, key) < 0:
                raise ValueError(f"{key}: must not be negative, got {getattr(self, key)}")


def score(config: EvalConfig, console: Console | None = None) -> dict[str, Any]:
    """Score a manifest as `config` says and write the files named above.

    Returns:
        The content of summary.json without its rows.

    Raises:
        ValueError: for a bad manifest, or with `strict` for the first sample or set that cannot be scored.
    """
    console = console or Console()
    started = time.time()
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    cache = FeatureCache(config.cache or out / "features")
    setup = Setup(
        networks=Networks(config.weights), cache=cache, num_frames=config.num_frames, clips=config.clips
    )
    backbones = extractors(config.backbones, config.local, setup)
    extractions = [Extraction(each, cache) for each in backbones]
    published = {name: Published.load(each) for name, each in config.statistics.items()}
    metrics = build(config.metrics, backbones, setup) if config.metrics else []
    with _progress(console) as progress:
        judged = _judge(config, config.manifest, [*metrics, *extractions], progress, out / "results.jsonl")
        real = _judge(config, config.reference, [*extractions], progress) if config.reference else None
    rows = judged.tally.rows(slices=config.slices, seed=config.seed)
    for extraction in extractions:
        name = extraction.name
        reference = real.kept[name].get("", []) if real else []
        rows += set_rows(
            extraction,
            judged.kept[name],
            reference,
            judged.asked,
            config.seed,
            published=published.get(extraction.extractor.name),
            strict=config.strict,
        )
    summary = {
        "measured": [{"metric": each.name, **each.describe()} for each in [*metrics, *extractions]],
        "asked": sum(judged.asked.values()),
        "dropped": judged.tally.dropped,
        "reference": {"asked": sum(real.asked.values()), "dropped": real.tally.dropped} if real else None,
        "statistics": {name: {"file": each.name, "sha256": each.sha256} for name, each in published.items()},
        "seed": config.seed,
        "versions": {"numpy": np.__version__, "scipy": scipy.__version__},
        "seconds": round(time.time() - started, 1),
    }
    scores = {metric.name: metric.scores for metric in metrics}
    scores |= {f"distribution_{each.name}": SET_SCORES for each in backbones}
    rows = [row for row in rows if row.metric in scores]
    tables.write_tables(out, rows, summary, scores)
    _show(config, rows, scores, summary, out)
    _print(console, config, rows, scores, judged.tally, out)
    return summary


@dataclass(frozen=True)
class _Judged:
    tally: Tally
    asked: dict[str, int]  # by system
    kept: dict[str, dict[str, list[Kept]]]  # by extraction, by system: whose features there are


def _judge(
    config: EvalConfig, manifest: str, metrics: list[Metric], progress: Progress, results: Path | None = None
) -> _Judged:
    """Run all metrics over a manifest, collecting numbers and, for extractions, which samples worked.

    A reference (`results` is None) counts as one system, whatever its samples say.
    """
    num_samples = sum(1 for _ in iter_manifest(manifest, check_files=False))
    judged = _Judged(Tally(), {}, {metric.name: {} for metric in metrics})
    task = progress.add_task("reading films" if results else "reading the reference", total=num_samples)
    with (results or Path(os.devnull)).open("w", encoding="utf-8") as lines:
        for group in records(manifest, metrics, config.num_workers):
            system = group[0].system if results else ""
            judged.asked[system] = judged.asked.get(system, 0) + 1
            for record, metric in zip(group, metrics, strict=True):
                if config.strict and record.dropped is not None:
                    raise ValueError(f"{manifest}: sample {record.id!r}: {record.metric}: {record.dropped}")
                lines.write(record.to_json() + "\n")
                judged.tally.add(record)
                kept = judged.kept[metric.name].setdefault(system, [])
                if isinstance(metric, Extraction) and record.dropped is None:
                    kept.append(Kept(record.detail["features"], record.prompt or record.id))
            progress.advance(task)
    return judged


def _show(
    config: EvalConfig,
    rows: list[Row],
    scores: dict[str, dict[str, Score]],
    summary: dict[str, Any],
    out: Path,
) -> None:
    """What is for the eye: the contact sheet and the page with the films."""
    if config.sheet_rows:
        results = out / "results.jsonl"
        contact_sheet.from_results(results, config.manifest, out / "contact_sheet.png", config.sheet_rows)
    if config.html_films:
        root = Path(config.manifest).resolve().parent
        first = islice(iter_manifest(config.manifest, check_files=False), config.html_films)
        html_page.write_page(out / "report.html", rows, scores, summary, [(sample, root) for sample in first])


def _progress(console: Console) -> Progress:
    parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*parts, console=console, transient=True)


def _print(
    console: Console,
    config: EvalConfig,
    rows: list[Row],
    scores: dict[str, dict[str, Score]],
    tally: Tally,
    out: Path,
) -> None:
    for metric in dict.fromkeys(row.metric for row in rows):
        own = [row for row in rows if row.metric == metric]
        title = f"{metric} on {Path(config.manifest).name}"
        console.print(tables.terminal(own, scores[metric], title, console))
        for note in dict.fromkeys(note for row in own for note in row.notes):
            console.print(f"note: {note}", style="yellow", markup=False, highlight=False)
    for entry in tally.dropped[:10]:
        console.print(
            f"dropped {entry['id']} ({entry['metric']}): {entry['reason']}",
            style="red",
            markup=False,
            highlight=False,
        )
    if len(tally.dropped) > 10:
        console.print(f"and {len(tally.dropped) - 10} more, in {out / 'summary.json'}", style="red")
    shown = ", contact_sheet.png" * bool(config.sheet_rows) + ", report.html" * bool(config.html_films)
    console.print(f"written to {out}: results.jsonl, scores.jsonl, table.*, summary.json{shown}")


def main(argv: list[str]) -> None:
    """Score what the command line names."""
    config = from_command_line(EvalConfig, argv, __doc__)
    if config is None:
        return
    try:
        provenance.write(Path(config.out), to_yaml(config))
        score(config)
    except (ValueError, OSError) as error:  # a bad manifest, an unwritable folder
        raise UserError(str(error)) from error


if __name__ == "__main__":
    sys.exit(run_command(main))
