"""Run a recipe: an ordered chain of stages, each an ordinary command that can also be run by hand.

Completed stages are skipped, an interrupted one resumes. The settings of a stage are recorded; if they change
later, the recipe stops instead of mixing old and new results.
"""

import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from src.experiments.config import RecipeConfig, StageConfig
from src.runs import run_directory, steps


def run(config: RecipeConfig) -> None:
    """Run every stage that has not completed yet, then print where the results are."""
    console = Console(highlight=False)
    run_dir = Path(config.run_dir)
    with run_directory.locked_run_dir(run_dir, config, compare=False):
        stages = {name: stage for name, stage in config.stages.items() if not stage.skip}
        started = time.perf_counter()
        for number, (name, stage) in enumerate(stages.items(), 1):
            argv = stage_argv(config, name, stage)
            record = run_dir / "stages" / f"{name}.json"
            title = f"[bold]\\[{number}/{len(stages)}] {name}[/bold]"
            if steps.is_done(record, f"stage {name}", argv, run_dir):
                console.print(
                    f"{title}: {steps.code_note(record) or 'completed before'}, skipped", soft_wrap=True
                )
                continue
            console.print(f"{title}: python -m {escape(' '.join(argv))}", soft_wrap=True)
            seconds = steps.run_once(record, f"stage {name}", argv, run_dir)
            console.print(f"{title}: done in {_clock(seconds or 0.0)}")
        console.print(
            f"\n[bold]{config.name}[/bold]: all stages done ({_clock(time.perf_counter() - started)})"
        )
    for label, path in config.show.items():
        console.print(f"  {label:<18} {path}", soft_wrap=True)


def stage_argv(config: RecipeConfig, name: str, stage: StageConfig) -> list[str]:
    """Return the arguments after `python -m` for one stage."""
    argv = [steps.MODULES[stage.command]]
    if stage.config:
        argv.append(stage.config)
    if stage.command == "train":
        if config.hardware:
            argv.append(config.hardware)
        argv.append(f"run_dir={config.run_dir}/{name}")
    return argv + steps.to_overrides(stage.set)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
