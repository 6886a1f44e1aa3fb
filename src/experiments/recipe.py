"""A recipe: an ordered chain of stages, each an ordinary command that can also be run by hand.

Finished stages are skipped, an interrupted one goes on. A stage's settings are remembered; if they
change later, the recipe says so instead of mixing old and new results.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from src.core.fields import opt
from src.runs import run_directory, steps


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One command of a recipe."""

    command: steps.Command = opt("train", "which command runs it")
    config: str = opt("", "the command's config file; empty for none")
    set: dict[str, Any] = opt({}, "overrides for the command (key: value, dotted or nested)")
    skip: bool = opt(False, "leave this stage out")


@dataclass(frozen=True, kw_only=True)
class Config:
    """A chain of stages."""

    experiment: str = opt("recipe", "kind of run")
    name: str = opt("???", "the recipe's name")
    run_dir: str = opt("runs/${name}", "where stages keep their runs; a train stage gets run_dir/STAGE")
    hardware: str = opt("", "a configs/hardware file given to every train stage")
    stages: dict[str, Stage] = opt({}, "the stages in order")
    show: dict[str, str] = opt({}, "what to point at when all is done: label and path")


def run(config: Config) -> None:
    """Run every stage that is not finished yet, then say where things lie."""
    console = Console(highlight=False)
    run_dir = Path(config.run_dir)
    with run_directory.opened(run_dir, config, compare=False):
        stages = {name: stage for name, stage in config.stages.items() if not stage.skip}
        started = time.perf_counter()
        for number, (name, stage) in enumerate(stages.items(), 1):
            words = command(config, name, stage)
            record = run_dir / "stages" / f"{name}.json"
            title = f"[bold]\\[{number}/{len(stages)}] {name}[/bold]"
            if steps.finished(record, f"stage {name}", words, run_dir):
                console.print(f"{title}: finished before, skipped")
                continue
            console.print(f"{title}: python -m {escape(' '.join(words))}", soft_wrap=True)
            seconds = steps.once(record, f"stage {name}", words, run_dir)
            console.print(f"{title}: done in {_clock(seconds or 0.0)}")
        console.print(
            f"\n[bold]{config.name}[/bold]: all stages done ({_clock(time.perf_counter() - started)})"
        )
    for label, path in config.show.items():
        console.print(f"  {label:<18} {path}", soft_wrap=True)


def command(config: Config, name: str, stage: Stage) -> list[str]:
    """The words after `python -m` for one stage."""
    words = [steps.MODULES[stage.command]]
    if stage.config:
        words.append(stage.config)
    if stage.command == "train":
        if config.hardware:
            words.append(config.hardware)
        words.append(f"run_dir={config.run_dir}/{name}")
    return words + steps.settings(stage.set)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
