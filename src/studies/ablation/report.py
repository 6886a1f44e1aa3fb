"""Results of the claims' arms: results.json with every number, results.md with tables, and a plot."""

import json
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from scipy.stats import spearmanr

from src.parallel import checkpoint_io
from src.studies.ablation.matched_time import seconds_of
from src.studies.ablation.measure import numbers_of
from src.training.checkpoint_paths import checkpoint_step, list_checkpoints

if TYPE_CHECKING:
    from src.studies.ablation.run import Config

LOSS = "val/loss"


def write(config: "Config") -> list[dict[str, Any]]:
    """Gather what is finished into RUN_DIR; returns the rows of results.json."""
    root = Path(config.run_dir)
    rows = gather(config)
    (root / "results.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    parts = [arm_table(config, rows), *over_checkpoints(config, rows, root), paper_table(config)]
    parts += ["\n".join(f"- {note}" for note in config.notes)]
    (root / "results.md").write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")
    return rows


def gather(config: "Config") -> list[dict[str, Any]]:
    """A row for every stage of every arm and seed that has a checkpoint; for every measured one of some.

    `seconds` are those of training in this stage, `chain_seconds` of all that its weights went through.
    """
    rows = []
    for name, arm in config.all.items():
        seeds = sorted(int(p.name.removeprefix("seed-")) for p in Path(config.run_dir, name).glob("seed-*"))
        for seed in seeds:
            chain = config.chain(name, seed)
            for run in config.own_runs(name, seed):
                kept, is_last = list_checkpoints(run), run == chain[-1]
                seconds, behind = seconds_of([run]), seconds_of(chain[: chain.index(run)])
                for path in kept if is_last and arm.measured == "all" else kept[-1:]:
                    row: dict[str, Any] = {"arm": name, "seed": seed, "stage": run.name}
                    row |= {"step": checkpoint_step(path), "last": is_last and path == kept[-1]}
                    row |= {"seconds": seconds, "chain_seconds": behind + seconds}
                    rows.append(row | {"metrics": _validation(path), "measured": numbers_of(path)})
    return rows


def _validation(path: Path) -> dict[str, float]:
    """The last validation before a checkpoint."""
    return dict(_read_validation(path, path.stat().st_mtime_ns))


@cache
def _read_validation(path: Path, _: int) -> dict[str, float]:  # tables are written often, files are large
    held = (
        checkpoint_io.read_metadata(path)
        if checkpoint_io.is_sharded(path)
        else checkpoint_io.read_checkpoint(path, mmap=True)
    )
    return dict(held.get("val_metrics", {}))


def arm_table(config: "Config", rows: list[dict[str, Any]]) -> str:
    """The last checkpoint of each arm: means over seeds, with standard deviations where there are several."""
    last = [row for row in rows if row["last"]]
    columns = [LOSS, *dict.fromkeys(key for row in last for key in row["measured"])]
    lines = _head(["arm", "seeds", "steps", "seconds of training", *columns])
    for name, arm in config.all.items():
        own = [row for row in last if row["arm"] == name]
        if not own:
            continue
        seconds = cell([row["chain_seconds"] for row in own])
        other = [row for row in last if row["arm"] == arm.equal_time]
        if other:
            ratio = fmean(r["chain_seconds"] for r in own) / fmean(r["chain_seconds"] for r in other)
            seconds += f" ({ratio:.2f} of {arm.equal_time})"
        values = [[{LOSS: None, **r["metrics"], **r["measured"]}.get(key) for r in own] for key in columns]
        steps = cell([r["step"] for r in own])
        lines.append(_line([name, str(len(own)), steps, seconds, *map(cell, values)]))
    return "\n".join(lines)


def cell(values: list[Any]) -> str:
    """Mean, and ± standard deviation over seeds; a dash where there is nothing."""
    found = [float(value) for value in values if value is not None]
    if not found:
        return "–"
    spread = f" ± {stdev(found):.2g}" if len(found) > 1 else ""
    return f"{fmean(found):.4g}{spread}"


def over_checkpoints(config: "Config", rows: list[dict[str, Any]], root: Path) -> list[str]:
    """Validation loss beside the scores, over the checkpoints of arms that measure all of theirs."""
    parts = []
    for name, arm in config.all.items():
        own = [r for r in rows if arm.measured == "all" and r["arm"] == name and r["measured"]]
        own = [r for r in own if LOSS in r["metrics"]]
        if len(own) < 2:
            continue
        columns = list(own[0]["measured"])
        lines = [f"### {name}: validation loss and scores over checkpoints", ""]
        lines += _head(["seed", "step", LOSS, *columns])
        for row in own:
            numbers = [f"{row['metrics'][LOSS]:.4g}", *(f"{row['measured'][key]:.4g}" for key in columns)]
            lines.append(_line([str(row["seed"]), str(row["step"]), *numbers]))
        losses = [row["metrics"][LOSS] for row in own]
        ranks = [(key, _rank_correlation(losses, [row["measured"][key] for row in own])) for key in columns]
        shown = ", ".join(f"{key} {value}" for key, value in ranks)
        lines += ["", f"Spearman's correlation with the loss over {len(own)} checkpoints: {shown}."]
        _plot(root / f"{name}_checkpoints.png", own, columns)
        parts.append("\n".join(lines))
    return parts


def _rank_correlation(losses: list[float], scores: list[float]) -> str:
    if len(losses) < 3 or len(set(losses)) < 2 or len(set(scores)) < 2:
        return "not defined"  # too few, or all the same
    return f"{spearmanr(losses, scores).statistic:.2f}"


def _plot(path: Path, rows: list[dict[str, Any]], columns: list[str]) -> None:
    figure = Figure(figsize=(4 * len(columns), 3.2), layout="constrained")
    for axes, key in zip(figure.subplots(1, len(columns), squeeze=False)[0], columns, strict=True):
        for seed in sorted({row["seed"] for row in rows}):
            own = [row for row in rows if row["seed"] == seed]
            x, y = [r["metrics"][LOSS] for r in own], [r["measured"][key] for r in own]
            axes.plot(x, y, "o-", markersize=4, linewidth=0.8, label=f"seed {seed}")
        axes.set(xlabel="validation loss", ylabel=key)
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)


def paper_table(config: "Config") -> str:
    """The paper's own numbers, as given in the config: other data, other scale, other networks."""
    columns = list(dict.fromkeys(key for row in config.paper.values() for key in row))
    lines = _head(["the paper", *columns])
    for name, row in config.paper.items():
        lines.append(_line([name, *(str(row.get(key, "–")) for key in columns)]))
    return "\n".join(lines) if config.paper else ""


def _head(columns: list[str]) -> list[str]:
    return [_line(columns), "|" + "---|" * len(columns)]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(each.replace("|", "\\|") for each in cells) + " |"
