"""Arms of the paper's claims over seeds: each arm is a chain of stages, and what is finished is kept.

    python -m src.train configs/claims/video.yaml [arms=[diffusion,dit_block]] [seeds=[0,1,2]]

Every arm and seed trains in RUN_DIR/ARM/seed-N/STAGE, each stage from the one before. A kill loses nothing
but the step under way; RUN_DIR/results.json gathers the last validation of everything that is finished.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from src import config as configs
from src.errors import UserError
from src.experiments import average, run_directory, video
from src.options import opt
from src.parallel import storage
from src.training.checkpoints import last_checkpoint, step_of


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One side of a comparison."""

    stages: tuple[str, ...] = opt((), "configs of its stages in order, from the working directory")
    set: dict[str, Any] = opt({}, "settings of all its stages (dotted keys)")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which arms, which seeds."""

    experiment: str = opt("claims", "kind of run")
    name: str = opt("claims", "what the run is called")
    run_dir: str = opt("runs/${name}", "where the arms go: RUN_DIR/ARM/seed-N/STAGE")
    all: dict[str, Arm] = opt({}, "the arms by name")
    arms: tuple[str, ...] = opt((), "the arms to run; empty: all")
    seeds: tuple[int, ...] = opt((0,), "seeds of weights, order and noise")
    set: dict[str, Any] = opt({}, "settings of every stage of every arm (dotted keys), such as max_steps")


def run(config: Config) -> None:
    """Run what is not finished, then write the results so far; again after every arm."""
    unknown = [name for name in config.arms if name not in config.all]
    if unknown:
        raise UserError(f"arms: {unknown[0]!r} is not an arm; known: {', '.join(config.all)}")
    root, console = Path(config.run_dir), Console(highlight=False)
    with run_directory.opened(root, config, compare=False):
        for seed in config.seeds:  # seed by seed: a stopped comparison has every arm at the seeds it has
            for name in config.arms or config.all:
                console.print(f"[bold]{name}[/bold], seed {seed}", soft_wrap=True)
                run_arm(config, name, seed)
                write_results(root)
    console.print(f"results: {root / 'results.json'}", soft_wrap=True)


def run_arm(config: Config, name: str, seed: int) -> None:
    """The stages of one arm; finished ones return at once, an interrupted one goes on."""
    arm, folder = config.all[name], Path(config.run_dir) / name / f"seed-{seed}"
    before: list[Path] = []
    for number, path in enumerate(arm.stages):
        run_dir = folder / f"{number}_{Path(path).stem}"
        words = [f"run_dir={run_dir}"]
        tree = configs.read([Path(path)], ())
        if tree.get("experiment") == "average":
            given = [f"inputs=[{before[-2]},{before[-1]}]", "validate=true"]
            stage: Any = configs.build(average.Config, configs.read([Path(path)], [*words, *given]))
            if last_checkpoint(run_dir) is None:
                average.run(stage)
        else:
            # Two runs of one stage in a row are two draws of it, both from the stage before them.
            again = number > 0 and arm.stages[number - 1] == path
            start = before[-2] if again else before[-1] if before else ""
            if again and len(before) < 2:
                raise UserError(f"all.{name}.stages: the first stage cannot stand twice")
            words += [f"train.seed={seed + 1000 * again}", *([f"start_from={start}"] if start else [])]
            words += [f"{key}={_word(v)}" for key, v in (_flat(arm.set) | _flat(config.set)).items()]
            stage = configs.build(video.Config, configs.read([Path(path)], words))
            video.run(stage)
        before.append(run_dir)


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted keys."""
    out: dict[str, Any] = {}
    for key, value in tree.items():
        nested = isinstance(value, dict) and value
        out |= _flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return out


def _word(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_word, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def write_results(root: Path) -> list[dict[str, Any]]:
    """Last validation of every stage that has a checkpoint, in RUN_DIR/results.json."""
    rows = []
    for run_dir in sorted(p.parent for p in root.glob("*/seed-*/*/config.yaml")):
        path = last_checkpoint(run_dir)
        if path is None:
            continue
        held = storage.read_meta(path) if storage.is_sharded(path) else storage.read(path, mmap=True)
        arm, seed, stage = run_dir.relative_to(root).parts
        row: dict[str, Any] = {"arm": arm, "seed": int(seed.removeprefix("seed-")), "stage": stage}
        rows.append({**row, "step": step_of(path), "metrics": dict(held.get("val_metrics", {}))})
    root.mkdir(parents=True, exist_ok=True)
    (root / "results.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return rows
