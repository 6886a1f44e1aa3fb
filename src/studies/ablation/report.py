"""Results of an ablation: results.json with every number, results.md with tables, and a plot."""

import json
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from matplotlib.figure import Figure
from scipy.stats import spearmanr

from src.core.markdown import markdown_table
from src.parallel import checkpoint_io
from src.studies.ablation.config import AblationConfig, VariantConfig
from src.studies.ablation.matched_time import total_training_seconds
from src.studies.ablation.measure import read_numbers
from src.training.checkpoint_paths import checkpoint_step, list_checkpoints

LOSS = "val/loss"
Row = dict[str, Any]


def write_results(config: AblationConfig) -> list[Row]:
    """Write the results so far into RUN_DIR; return the rows of results.json."""
    root = Path(config.run_dir)
    rows = collect_rows(config)
    (root / "results.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    parts = [variant_table(config, rows), *checkpoint_tables(config, rows, root), paper_table(config)]
    parts.append("\n".join(f"- {note}" for note in config.notes))
    (root / "results.md").write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")
    return rows


def collect_rows(config: AblationConfig) -> list[Row]:
    """Return a row for the last checkpoint of every stage, variant and seed, and for other measured ones.

    `seconds` are those of training in this stage, `chain_seconds` of all stages that its weights depend on.
    """
    rows = []
    for name, variant in config.variants.items():
        seeds = sorted(int(p.name.removeprefix("seed-")) for p in Path(config.run_dir, name).glob("seed-*"))
        for seed in seeds:
            chain = config.chain(name, seed)
            for run in config.stage_dirs(name, seed):
                rows += _stage_rows(name, variant, seed, run, chain)
    return rows


def _stage_rows(name: str, variant: VariantConfig, seed: int, run: Path, chain: list[Path]) -> list[Row]:
    checkpoints, is_last = list_checkpoints(run), run == chain[-1]
    seconds = total_training_seconds([run])
    chain_seconds = total_training_seconds(chain[: chain.index(run)]) + seconds
    measures_all = is_last and variant.measured == "all"
    return [
        {
            "variant": name,
            "seed": seed,
            "stage": run.name,
            "step": checkpoint_step(path),
            "last": is_last and path == checkpoints[-1],
            "seconds": seconds,
            "chain_seconds": chain_seconds,
            "metrics": _validation_metrics(path),
            "measured": read_numbers(path),
        }
        for path in (checkpoints if measures_all else checkpoints[-1:])
    ]


def _validation_metrics(path: Path) -> dict[str, float]:
    """Return the metrics of the last validation before a checkpoint."""
    return dict(_read_validation_metrics(path, path.stat().st_mtime_ns))


@cache
def _read_validation_metrics(path: Path, mtime_ns: int) -> dict[str, float]:
    # Cached by modification time: tables are rewritten after every variant, and checkpoints are large.
    checkpoint = (
        checkpoint_io.read_metadata(path)
        if checkpoint_io.is_sharded(path)
        else checkpoint_io.read_checkpoint(path, mmap=True)
    )
    return dict(checkpoint.get("val_metrics", {}))


def variant_table(config: AblationConfig, rows: list[Row]) -> str:
    """Return a table of each variant's last checkpoint: means over seeds ± standard deviations."""
    last = [row for row in rows if row["last"]]
    columns = [LOSS, *dict.fromkeys(key for row in last for key in row["measured"])]
    table = []
    for name, variant in config.variants.items():
        own = [row for row in last if row["variant"] == name]
        if not own:
            continue
        seconds = format_mean([row["chain_seconds"] for row in own])
        matched = [row for row in last if row["variant"] == variant.matched_time]
        if matched:
            ratio = fmean(r["chain_seconds"] for r in own) / fmean(r["chain_seconds"] for r in matched)
            seconds += f" ({ratio:.2f} of {variant.matched_time})"
        values = [[(row["metrics"] | row["measured"]).get(key) for row in own] for key in columns]
        steps = format_mean([row["step"] for row in own])
        table.append([name, str(len(own)), steps, seconds, *map(format_mean, values)])
    return markdown_table(["variant", "seeds", "steps", "training seconds", *columns], table).rstrip("\n")


def format_mean(values: list[Any]) -> str:
    """Return the mean, and ± the standard deviation of several values; a dash if there are none."""
    numbers = [float(value) for value in values if value is not None]
    if not numbers:
        return "–"
    deviation = f" ± {stdev(numbers):.2g}" if len(numbers) > 1 else ""
    return f"{fmean(numbers):.4g}{deviation}"


def checkpoint_tables(config: AblationConfig, rows: list[Row], root: Path) -> list[str]:
    """Tabulate and plot validation loss and scores, for variants that measure all their checkpoints."""
    parts = []
    for name, variant in config.variants.items():
        own = [r for r in rows if variant.measured == "all" and r["variant"] == name and r["measured"]]
        own = [r for r in own if LOSS in r["metrics"]]
        if len(own) >= 2:
            parts.append(_checkpoint_table(name, own))
            _plot(root / f"{name}_checkpoints.png", own)
    return parts


def _checkpoint_table(name: str, rows: list[Row]) -> str:
    columns = list(rows[0]["measured"])
    losses = [row["metrics"][LOSS] for row in rows]
    cells = []
    for row, loss in zip(rows, losses, strict=True):
        numbers = [loss, *(row["measured"][key] for key in columns)]
        cells.append([str(row["seed"]), str(row["step"]), *(f"{number:.4g}" for number in numbers)])
    ranks = [f"{key} {_rank_correlation(losses, [row['measured'][key] for row in rows])}" for key in columns]
    return (
        f"### {name}: validation loss and scores over checkpoints\n\n"
        f"{markdown_table(['seed', 'step', LOSS, *columns], cells)}\n"
        f"Spearman's correlation with the loss over {len(rows)} checkpoints: {', '.join(ranks)}."
    )


def _rank_correlation(losses: list[float], scores: list[float]) -> str:
    if len(losses) < 3 or len(set(losses)) < 2 or len(set(scores)) < 2:
        return "not defined"
    return f"{spearmanr(losses, scores).statistic:.2f}"


def _plot(path: Path, rows: list[Row]) -> None:
    columns = list(rows[0]["measured"])
    figure = Figure(figsize=(4 * len(columns), 3.2), layout="constrained")
    for axes, key in zip(figure.subplots(1, len(columns), squeeze=False)[0], columns, strict=True):
        for seed in sorted({row["seed"] for row in rows}):
            own = [row for row in rows if row["seed"] == seed]
            x, y = [row["metrics"][LOSS] for row in own], [row["measured"][key] for row in own]
            axes.plot(x, y, "o-", markersize=4, linewidth=0.8, label=f"seed {seed}")
        axes.set(xlabel="validation loss", ylabel=key)
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)


def paper_table(config: AblationConfig) -> str:
    """Return the paper's own numbers, as given in the config: other data, scale and networks."""
    if not config.paper:
        return ""
    columns = list(dict.fromkeys(key for row in config.paper.values() for key in row))
    rows = [[name, *(str(row.get(key, "–")) for key in columns)] for name, row in config.paper.items()]
    return markdown_table(["paper", *columns], rows).rstrip("\n")
