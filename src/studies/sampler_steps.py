"""Few steps of sampling against many (paper section 3.4.2; spec, section 2.3; claim 5).

    python -m src.train configs/studies/sampler_steps.yaml generate.run=RUN generate.prompts=PROMPTS.jsonl

Every arm makes the same films from the same noise, with its own schedule. Measured: the distance of its
latents, and the PSNR of its frames, to those of the reference; and, at the end, the Bounce checker's scores.
A batch that was made is kept, so that a stopped study goes on. RUN_DIR/ARM holds films and latents,
RUN_DIR/scores what the checker says (report.html shows the arms); results.json and table.md hold the answer
so far, renewed after every arm; solvers.png is drawn at the end.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file, save_file
from torch import Tensor

from src.core import config as configs
from src.core.atomic import atomic_write
from src.core.errors import UserError
from src.core.fields import opt
from src.flow.config import SamplerConfig, ScheduleVariant
from src.inference.pipeline import GenerateConfig, Generator
from src.inference.prompt_rewriting import rewriter
from src.inference.prompts import Request, read_requests, rewrite
from src.runs import run_directory
from src.runs.steps import answer
from src.studies.sampler_report import Result, compare, plot, write
from src.training.callbacks.checkpoint import find

REFERENCE = "reference"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What one arm sets of the sampler; the rest is common to all."""

    schedule: Literal["linear-quadratic", "linear", "cosine"] = opt("linear", "where the solver stops")
    steps: int = opt(50, "number of steps")
    emulated_steps: int = opt(250, "linear steps that a linear-quadratic schedule stands for")
    variant: ScheduleVariant = opt(
        "continuous", "joint of the linear-quadratic schedule: continuous or zero_slope"
    )


@dataclass(frozen=True, kw_only=True)
class Config:
    """One study."""

    experiment: str = opt("solvers", "kind of run")
    name: str = opt("solvers", "what the study is called")
    run_dir: str = opt("runs/${name}", "where its films and results go")
    generate: GenerateConfig = opt(GenerateConfig(run="???"), "model, prompts, sizes, as in src.generate")
    reference: Arm = opt(Arm(steps=1000), "what every arm is compared with")
    arms: dict[str, Arm] = opt({}, "the arms by name")
    score: bool = opt(True, "judge the films by the Bounce checker; prompts must bring their facts")

    def __post_init__(self) -> None:
        if not self.arms or REFERENCE in self.arms:
            raise ValueError(f"arms: at least one is needed, none of them called {REFERENCE!r}")
        for name, arm in self.all_arms().items():
            try:
                self.sampler(arm)
            except ValueError as error:
                raise ValueError(f"arms.{name}: {error}") from error

    def all_arms(self) -> dict[str, Arm]:
        """The arms in the order in which they are made."""
        return {REFERENCE: self.reference} | self.arms

    def sampler(self, arm: Arm) -> SamplerConfig:
        """The common sampler with an arm's schedule."""
        return replace(self.generate.sampler, **asdict(arm))


def run(config: Config) -> None:
    """Make, score and compare what is not there yet."""
    root, console = Path(config.run_dir), Console(highlight=False)
    with run_directory.opened(root, config, compare=False):
        requests = _requests(config)
        generator = Generator(config.generate)
        results: list[Result] = []
        entries: list[dict[str, Any]] = []
        for name, arm in config.all_arms().items():
            folder = root / name
            _refuse_other_settings(folder, config, arm)
            entries += make(generator, requests, config.sampler(arm), folder)
            batches = range(-(-len(requests) // config.generate.batch_size))
            pairs = ((_latents(root / REFERENCE, n), _latents(folder, n)) for n in batches)
            results.append(compare(name, asdict(arm), generator, pairs))
            write(results, root)
        if config.score:
            scores = score(entries, root)
            results = [replace(result, scores=scores[result.name]) for result in results]
            write(results, root)
        plot(results, root / "solvers.png")
    console.print((root / "table.md").read_text(encoding="utf-8"), soft_wrap=True)
    console.print(f"{root}: results.json, table.md, solvers.png", soft_wrap=True)


def _requests(config: Config) -> list[Request]:
    c = config.generate
    for name in ("out", "image"):
        if getattr(c, name):
            raise UserError(f"generate.{name}={getattr(c, name)}: has no meaning in a study of solvers")
    found = list(read_requests([], c.prompts, c.seed, c.seeds_per_prompt))
    if config.score and any("facts" not in request.extra for request in found):
        raise UserError(
            f"generate.prompts={c.prompts}: has prompts without facts to judge films by; make a file with "
            "python -m data.bounce.prompts, or give score=false"
        )
    return rewrite(found, rewriter(c.rewrite, pictures=c.frames == 1))


def _refuse_other_settings(folder: Path, config: Config, arm: Arm) -> None:
    """Remember what an arm's films are made with; results of two settings are never mixed."""
    path = folder / "settings.json"
    now = {"checkpoint": str(find(Path(config.generate.run))), "arm": asdict(arm)}
    now["generate"] = configs.to_dict(config.generate)
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
        return
    old = json.loads(path.read_text(encoding="utf-8"))
    for part in now:
        if old[part] != now[part]:
            raise UserError(f"{folder}: was made with another {part}; give another run_dir=... or remove it")


def make(
    generator: Generator, requests: list[Request], sampler: SamplerConfig, folder: Path
) -> list[dict[str, Any]]:
    """Films and latents of one arm, batch by batch; batches that are there stay.

    Returns:
        Its part of the manifest, the arm as `system`, paths from the study's folder.
    """
    size = generator.settings.batch_size
    columns = (TextColumn(f"{folder.name}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    entries: list[dict[str, Any]] = []
    with Progress(*columns) as progress:
        task = progress.add_task("", total=len(requests) * sampler.steps)
        for number, first in enumerate(range(0, len(requests), size)):
            batch, path = requests[first : first + size], _path(folder, number)
            lines = path.with_suffix(".json")
            if not path.is_file():
                x = generator.sample(batch, sampler, lambda i, x: progress.advance(task, len(x)))
                made = generator.write(batch, generator.decode(x), folder)
                path.parent.mkdir(exist_ok=True)
                lines.write_text(json.dumps(made), encoding="utf-8")
                with atomic_write(path) as temporary:
                    save_file({"latents": x.clone()}, temporary)
            progress.update(task, completed=(first + len(batch)) * sampler.steps)
            entries += json.loads(lines.read_text(encoding="utf-8"))
    kind = "image" if generator.settings.frames == 1 else "video"
    return [{**e, "system": folder.name, kind: f"{folder.name}/{e[kind]}"} for e in entries]


def _path(folder: Path, number: int) -> Path:
    return folder / "latents" / f"{number:04d}.safetensors"


def _latents(folder: Path, number: int) -> Tensor:
    """Latents [B, C, T, H, W] of one batch."""
    return load_file(_path(folder, number))["latents"]


def score(entries: list[dict[str, Any]], root: Path) -> dict[str, dict[str, dict[str, float]]]:
    """The Bounce checker's intervals (mean, low, high) by arm and score; judged anew if films were added."""
    manifest, out = root.resolve() / "manifest.jsonl", root.resolve() / "scores"
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    judged = (out / "summary.json").is_file() and manifest.read_text(encoding="utf-8") == text
    if not judged:
        (out / "summary.json").unlink(missing_ok=True)
        manifest.write_text(text, encoding="utf-8")
        answer(["eval.run", f"manifest={manifest}", f"out={out}", "metrics=[bounce]"])
    rows = json.loads((out / "summary.json").read_text(encoding="utf-8"))["rows"]
    found = {r["system"]: r["intervals"] for r in rows if r["metric"] == "bounce" and r["slice"] == "all"}
    return {
        arm: {name: {k: each[k] for k in ("mean", "low", "high")} for name, each in intervals.items()}
        for arm, intervals in found.items()
    }
