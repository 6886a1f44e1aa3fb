"""Arms of the paper's claims over seeds: each arm is a chain of stages, and what is finished is kept.

    python -m src.train configs/ablations/video.yaml [arms=[diffusion,dit_block]] [seeds=[0,1,2]]
    python -m src.train configs/ablations/tae.yaml

Every arm and seed trains in RUN_DIR/ARM/seed-N/STAGE, each stage from the one before, and is then measured:
video arms by the Bounce checker, autoencoders by what they reconstruct. A kill loses nothing but the step
under way. RUN_DIR/results.json and results.md hold what is finished; they are written after every arm.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from src.core import config as configs
from src.core.errors import UserError
from src.core.fields import opt
from src.experiments import average, tae, video
from src.experiments.config import AverageConfig
from src.runs import run_directory, steps
from src.runs.config import TAERunConfig, VideoRunConfig
from src.studies.ablation import measure, report
from src.studies.ablation.matched_time import equal_steps, seconds_of
from src.studies.ablation.measure import MeasureConfig
from src.training.checkpoint_paths import last_checkpoint, list_checkpoints


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One side of a comparison."""

    after: str = opt("", "arm whose last stage the first stage starts from, at the same seed; empty: none")
    stages: tuple[str, ...] = opt((), "configs of its stages in order, from the working directory")
    set: dict[str, Any] = opt({}, "settings of all its stages (dotted keys)")
    equal_time: str = opt(
        "",
        "arm whose seconds of training this one gets by the steps of its last stage; empty: as configured",
    )
    measured: Literal["last", "all"] = opt(
        "last", "checkpoints of its last stage that are measured: the last one, or all that are kept"
    )
    films: dict[str, Any] = opt({}, "settings of src.generate for this arm, such as sampler.schedule")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which arms, which seeds, measured how."""

    experiment: str = opt("claims", "kind of run")
    name: str = opt("claims", "what the run is called")
    run_dir: str = opt("runs/${name}", "where the arms go: RUN_DIR/ARM/seed-N/STAGE")
    all: dict[str, Arm] = opt({}, "the arms by name")
    arms: tuple[str, ...] = opt((), "the arms to run; empty: all")
    seeds: tuple[int, ...] = opt((0,), "seeds of weights, order and noise")
    set: dict[str, Any] = opt({}, "settings of every stage of every arm (dotted keys), such as max_steps")
    probe_steps: int = opt(40, "steps by which an arm with equal_time is timed before it runs")
    measure: MeasureConfig = opt(MeasureConfig(), "what is measured after training")
    paper: dict[str, dict[str, Any]] = opt({}, "the paper's rows, to stand under ours")
    notes: tuple[str, ...] = opt((), "what is to be known when reading the table")

    def __post_init__(self) -> None:
        if self.probe_steps < 2:
            raise ValueError(f"probe_steps must be at least 2, got {self.probe_steps}")
        for name, arm in self.all.items():
            for key in ("after", "equal_time"):
                other = getattr(arm, key)
                if other and other not in self.all:
                    raise ValueError(f"all.{name}.{key}: {other!r} is not an arm")
            self._check_order(name, ())

    def _check_order(self, name: str, behind: tuple[str, ...]) -> None:
        if name in behind:
            raise ValueError(f"all.{name}: waits for itself ({' -> '.join((*behind, name))})")
        for other in filter(None, (self.all[name].after, self.all[name].equal_time)):
            if other in self.all:
                self._check_order(other, (*behind, name))

    def folder(self, name: str, seed: int) -> Path:
        return Path(self.run_dir) / name / f"seed-{seed}"

    def own_runs(self, name: str, seed: int) -> list[Path]:
        """Directories of an arm's stages, whether they are there or not."""
        folder = self.folder(name, seed)
        return [folder / f"{i}_{Path(path).stem}" for i, path in enumerate(self.all[name].stages)]

    def chain(self, name: str, seed: int) -> list[Path]:
        """Directories of all that an arm went through, beginning with what it goes on from."""
        after = self.all[name].after
        return [*(self.chain(after, seed) if after else []), *self.own_runs(name, seed)]


def run(config: Config) -> None:
    """Run and measure what is not finished, then write the results so far; again after every arm."""
    unknown = [name for name in config.arms if name not in config.all]
    if unknown:
        raise UserError(f"arms: {unknown[0]!r} is not an arm; known: {', '.join(config.all)}")
    config.measure.check()
    root, console = Path(config.run_dir), Console(highlight=False)
    done: set[tuple[str, int]] = set()
    with run_directory.locked_run_dir(root, config, compare=False):
        for seed in config.seeds:  # seed by seed: a stopped comparison has every arm at the seeds it has
            for name in config.arms or config.all:
                console.print(f"[bold]{name}[/bold], seed {seed}", soft_wrap=True)
                run_arm(config, name, seed, done)
                measure_arm(config, name, seed)
                report.write(config)
    console.print(f"results: {root / 'results.json'}, {root / 'results.md'}", soft_wrap=True)


def run_arm(config: Config, name: str, seed: int, done: set[tuple[str, int]]) -> None:
    """The stages of one arm, and before them what it waits for; finished ones return at once.

    Args:
        done: arms and seeds that have been run; this one is added.
    """
    if (name, seed) in done:
        return
    done.add((name, seed))
    arm = config.all[name]
    for other in filter(None, (arm.after, arm.equal_time)):
        run_arm(config, other, seed, done)
    before = config.chain(arm.after, seed) if arm.after else []
    for number, (path, run_dir) in enumerate(zip(arm.stages, config.own_runs(name, seed), strict=True)):
        tree = configs.read([Path(path)], ())
        if tree.get("experiment") == "average":
            if last_checkpoint(run_dir) is None:
                given = [f"run_dir={run_dir}", f"inputs=[{before[-2]},{before[-1]}]", "validate=true"]
                average.run(configs.build(AverageConfig, configs.read([Path(path)], given)))
        else:
            # Two runs of one stage in a row are two draws of it, both from the stage before them.
            again = number > 0 and arm.stages[number - 1] == path
            if again and len(before) < 2:
                raise UserError(f"all.{name}.stages: the first stage cannot stand twice")
            start = before[-2] if again else before[-1] if before else None
            given = [f"train.seed={seed + 1000 * again}", *([f"start_from={start}"] if start else [])]
            given += steps.to_overrides(arm.set) + steps.to_overrides(config.set)
            if arm.equal_time and number == len(arm.stages) - 1:
                given += _equal_time(config, name, seed, path, given)
            _train(path, run_dir, given)
        before.append(run_dir)


def _train(path: str, run_dir: Path, given: list[str]) -> None:
    schema, run_stage = _kind(path)
    run_stage(configs.build(schema, configs.read([Path(path)], [f"run_dir={run_dir}", *given], schema)))


def _kind(path: str) -> tuple[type, Callable[[Any], None]]:
    """Return the config class of a stage's kind and the function that runs it."""
    experiment = str(configs.read([Path(path)], ()).get("experiment"))
    if experiment not in ("tae", "video"):
        raise UserError(f"{path}: an arm's stages are of kind tae, video or average, not {experiment}")
    return {"tae": (TAERunConfig, tae.run), "video": (VideoRunConfig, video.run)}[experiment]


def _equal_time(config: Config, name: str, seed: int, path: str, given: list[str]) -> list[str]:
    """The setting that gives an arm's last stage the time that is left to it."""
    arm = config.all[name]
    schema, _ = _kind(path)
    stage: Any = configs.build(schema, configs.read([Path(path)], ["run_dir=none", *given], schema))
    folder = config.folder(name, seed)
    folder.mkdir(parents=True, exist_ok=True)
    budget = seconds_of(config.chain(arm.equal_time, seed)) - seconds_of(config.chain(name, seed)[:-1])

    def probe(run_dir: Path, further: dict[str, Any]) -> None:
        _train(path, run_dir, [*given, *steps.to_overrides(further)])

    least = stage.train.warmup_steps + 1
    found = equal_steps(folder / "equal_time.json", budget, probe, config.probe_steps, least)
    return [f"train.max_steps={found.steps}"]


def measure_arm(config: Config, name: str, seed: int) -> None:
    """Measure the last stage of an arm, by its kind; finished measurements are kept."""
    arm = config.all[name]
    runs = config.own_runs(name, seed)
    if not runs:
        return
    kinds = [str(configs.read([Path(path)], ()).get("experiment")) for path in arm.stages]
    for checkpoint in (
        list_checkpoints(runs[-1]) if arm.measured == "all" else list_checkpoints(runs[-1])[-1:]
    ):
        if "tae" in kinds:
            measure.autoencoder(config.measure, checkpoint)
        else:
            measure.video_model(config.measure, checkpoint, arm.films)
