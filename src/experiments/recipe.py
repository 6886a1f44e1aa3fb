"""A recipe: an ordered chain of stages, each an ordinary command that can also be run by hand.

Finished stages are skipped, an interrupted one goes on. A stage's settings are remembered; if they
change later, the recipe says so instead of mixing old and new results.
"""

import json
import multiprocessing
import runpy
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape

from src.errors import UserError
from src.experiments import run_directory
from src.options import opt

MODULES = {
    "prepare": "data.prepare",
    "prompts": "data.worlds.prompts",
    "train": "src.train",
    "generate": "src.generate",
    "score": "eval.run",
}
PRELOADED = ["src.experiments.tae", "src.experiments.latents", "src.experiments.video"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One command of a recipe."""

    command: Literal["prepare", "prompts", "train", "generate", "score"] = opt(
        "train", "which command runs it"
    )
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
            if _finished(record, words, run_dir):
                console.print(f"{title}: finished before, skipped")
            else:
                console.print(f"{title}: python -m {escape(' '.join(words))}", soft_wrap=True)
                seconds = _execute(name, words)
                record.parent.mkdir(parents=True, exist_ok=True)
                record.write_text(json.dumps({"command": words, "seconds": round(seconds, 1)}, indent=2))
                console.print(f"{title}: done in {_clock(seconds)}")
        console.print(
            f"\n[bold]{config.name}[/bold]: all stages done ({_clock(time.perf_counter() - started)})"
        )
    for label, path in config.show.items():
        console.print(f"  {label:<18} {path}", soft_wrap=True)


def command(config: Config, name: str, stage: Stage) -> list[str]:
    """The words after `python -m` for one stage."""
    words = [MODULES[stage.command]]
    if stage.config:
        words.append(stage.config)
    if stage.command == "train":
        if config.hardware:
            words.append(config.hardware)
        words.append(f"run_dir={config.run_dir}/{name}")
    return words + [f"{key}={_word(value)}" for key, value in _dotted(stage.set, "")]


def _dotted(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _word(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ",".join(_word(v) for v in value) + "]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _finished(record: Path, words: list[str], run_dir: Path) -> bool:
    """True if the stage's record says it ended with the same command.

    Raises:
        UserError: it ended with other settings; what follows it would mix two recipes.
    """
    if not record.is_file():
        return False
    old = json.loads(record.read_text())["command"]
    if old == words:
        return True
    changed = [w for w in words if w not in old] or [w for w in old if w not in words]
    raise UserError(
        f"stage {record.stem} was finished with other settings (now {changed[0]}); "
        f"give another run_dir=... or remove {run_dir}"
    )


def _execute(name: str, words: list[str]) -> float:
    """Run one stage in a process of its own, so that its memory and its failures stay its own.

    Stages are forked from one server that has the slow imports done: several seconds less for each.
    """
    started = time.perf_counter()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_stage, args=(words,))
    process.start()
    try:
        process.join()
    except KeyboardInterrupt:
        process.join()  # the stage got the same Ctrl-C and is writing its checkpoint
        raise
    if process.exitcode == 2:
        raise UserError(f"stage {name} stopped (see the line above); mend it and start the recipe again")
    if process.exitcode != 0:
        raise UserError(
            f"stage {name} ended with exit code {process.exitcode}; start again to go on from there"
        )
    return time.perf_counter() - started


def _stage(words: list[str]) -> None:
    """`python -m MODULE WORDS...` in this process."""
    sys.argv = words
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
