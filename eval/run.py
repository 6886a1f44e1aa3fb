"""Score a manifest: `python -m eval.run [CONFIG.yaml] manifest=FILE.jsonl out=FOLDER [key=value ...]`.

Writes into `out`: results.jsonl (a line for every sample, dropped ones with their reason), table.md,
table.csv, summary.json (what was measured, how, and every dropped sample) and contact_sheet.png.
"""

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from eval import contact_sheet, report
from eval.alignment.bounce_metric import BounceMetric
from eval.manifest import Sample, iter_manifest, resolve_media
from eval.media import read_video
from eval.results import Metric, Record, Tally
from src import provenance
from src.command_line import run as run_command
from src.config import ConfigError, help_text, load, parse_arguments, to_yaml
from src.errors import UserError
from src.options import opt

METRICS: dict[str, type[Metric]] = {"bounce": BounceMetric}


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """What to score, by which metrics, and where to put it."""

    manifest: str = opt("???", "JSONL manifest of samples (see eval/manifest.py)")
    out: str = opt("???", "folder for results; made if it is not there")
    metrics: tuple[str, ...] = opt(("bounce",), f"metrics to compute: {', '.join(METRICS)}")
    slices: tuple[str, ...] = opt((), "tags to cut the table by; none means every tag that occurs")
    strict: bool = opt(False, "stop at the first sample that cannot be scored instead of counting it")
    num_workers: int = opt(0, "processes that read films; 0 reads in this one. Results do not depend on it")
    seed: int = opt(0, "seed of the bootstrap")
    sheet_rows: int = opt(32, "samples on the contact sheet; 0 draws none")

    def __post_init__(self) -> None:
        unknown = [name for name in self.metrics if name not in METRICS]
        if unknown or not self.metrics:
            got = unknown[0] if unknown else "nothing"
            raise ValueError(f"metrics: expected some of {', '.join(METRICS)}, got {got}")
        for key in ("num_workers", "sheet_rows"):
            if getattr(self, key) < 0:
                raise ValueError(f"{key}: must not be negative, got {getattr(self, key)}")


def score(config: EvalConfig, console: Console | None = None) -> dict[str, Any]:
    """Score a manifest as `config` says and write the files named above.

    Returns:
        The content of summary.json without its rows.

    Raises:
        ValueError: for a bad manifest, or with `strict` for the first sample that cannot be scored.
    """
    console = console or Console()
    started = time.time()
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    num_samples = sum(1 for _ in iter_manifest(config.manifest, check_files=False))
    metrics = [METRICS[name]() for name in config.metrics]
    tally = Tally()
    with _progress(console) as progress, (out / "results.jsonl").open("w", encoding="utf-8") as results:
        task = progress.add_task("reading films", total=num_samples)
        for records in _all_records(config):
            for record in records:
                if config.strict and record.dropped is not None:
                    raise ValueError(f"{config.manifest}: sample {record.id!r}: {record.dropped}")
                results.write(record.to_json() + "\n")
                tally.add(record)
            progress.advance(task)
    rows = tally.rows(slices=config.slices, seed=config.seed)
    summary = {
        "measured": [{"metric": metric.name, **metric.describe()} for metric in metrics],
        "asked": num_samples,
        "dropped": tally.dropped,
        "seed": config.seed,
        "seconds": round(time.time() - started, 1),
    }
    report.write_tables(out, rows, summary)
    if config.sheet_rows:
        contact_sheet.from_results(
            out / "results.jsonl", config.manifest, out / "contact_sheet.png", config.sheet_rows
        )
    _print(console, config, rows, tally, out)
    return summary


def _all_records(config: EvalConfig) -> Iterator[list[Record]]:
    """Records of every sample in the manifest's order, whatever the number of workers."""
    samples = iter_manifest(config.manifest, check_files=False)
    root = Path(config.manifest).resolve().parent
    judge = partial(judge_sample, root=root, metrics=config.metrics)
    if not config.num_workers:
        yield from map(judge, samples)
        return
    with ProcessPoolExecutor(config.num_workers, mp_context=get_context("spawn")) as pool:
        while block := list(islice(samples, 64 * config.num_workers)):
            yield from pool.map(judge, block, chunksize=8)


def judge_sample(sample: Sample, *, root: Path, metrics: tuple[str, ...]) -> list[Record]:
    """Decode one film and measure it; what cannot be measured becomes a record with its reason."""
    identity = {"id": sample.id, "system": sample.system, "prompt": sample.prompt, "tags": sample.tags}
    try:
        if sample.video is None:
            raise ValueError("names no video")
        video = read_video(resolve_media(root, sample.video, "video"))
    except ValueError as error:
        reason = str(error).replace(str(root) + "/", "")
        return [Record(**identity, metric=name, values=None, detail={}, dropped=reason) for name in metrics]
    records = []
    for name in metrics:
        values, detail, dropped = None, {}, None
        try:
            measured = METRICS[name]().measure(sample, video)
            values, detail = measured.values, measured.detail
            if not np.isfinite(list(values.values())).all():
                values, dropped = None, "the metric gave a number that is not finite"
        except ValueError as error:
            dropped = str(error)
        records.append(Record(**identity, metric=name, values=values, detail=detail, dropped=dropped))
    return records


def _progress(console: Console) -> Progress:
    parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*parts, console=console, transient=True)


def _print(console: Console, config: EvalConfig, rows: list[report.Row], tally: Tally, out: Path) -> None:
    console.print(report.terminal(rows, title=f"{', '.join(config.metrics)} on {Path(config.manifest).name}"))
    for entry in tally.dropped[:10]:
        console.print(f"dropped {entry['id']}: {entry['reason']}", style="red", markup=False, highlight=False)
    if len(tally.dropped) > 10:
        console.print(f"and {len(tally.dropped) - 10} more, in {out / 'summary.json'}", style="red")
    sheet = ", contact_sheet.png" if config.sheet_rows else ""
    console.print(f"written to {out}: results.jsonl, table.md, table.csv, summary.json{sheet}")


def main(argv: list[str]) -> None:
    """Score what the command line names."""
    arguments = parse_arguments(argv)
    if arguments.help:
        print(__doc__, help_text(EvalConfig), sep="\n")
        return
    if len(arguments.configs) > 1:
        raise ConfigError(f"expected at most one config file, got {len(arguments.configs)}")
    config = load(EvalConfig, arguments.configs[0] if arguments.configs else None, arguments.overrides)
    if arguments.print:
        print(to_yaml(config), end="")
        return
    try:
        provenance.write(Path(config.out), to_yaml(config))
        score(config)
    except (ValueError, OSError) as error:  # a bad manifest, an unwritable folder
        raise UserError(str(error)) from error


if __name__ == "__main__":
    sys.exit(run_command(main))
