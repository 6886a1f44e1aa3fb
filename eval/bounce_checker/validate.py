"""How far the Bounce checker can be believed: `python -m eval.bounce_checker.validate [key=value ...]`.

Makes films whose facts are known, spoils them in known ways, reads them back, and prints how often
subject, motion and camera are judged right. The first rows must be near 100 %, the last must fall.
"""

import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import numpy as np
from rich.console import Console
from rich.table import Table

from data.bounce.captions import captions
from data.bounce.config import WorldConfig
from data.bounce.world import Film, film
from eval.bounce_checker.checker import Verdict, judge, read
from eval.core.intervals import wilson_bounds
from eval.reports.contact_sheet import SheetRow, draw
from eval.reports.tables import check_folder_of
from eval.sanity.degradations import DEGRADATIONS
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.fields import opt


@dataclass(frozen=True, kw_only=True)
class World:
    """A kind of film to validate on."""

    side: int
    settings: dict
    num_frames: int = 16
    fps: float = 16.0


_ALONE = {"max_objects": 1, "cameras": ("static shot",)}
_PLAIN = {"spin_prob": 0.0, "appear_prob": 0.0, "vanish_prob": 0.0}
WORLDS = {
    "tiny": World(side=32, settings=_ALONE | _PLAIN),
    "full": World(side=64, settings={"spin_prob": 0.25, "appear_prob": 0.1, "vanish_prob": 0.1}),
    "tiny-all": World(side=32, settings={}),
    "long": World(side=64, settings={}, num_frames=32),
}


@dataclass(frozen=True, kw_only=True)
class ValidateConfig:
    """What to validate on."""

    worlds: tuple[str, ...] = opt(("tiny", "full"), f"kinds of films: {', '.join(WORLDS)}")
    degradations: tuple[str, ...] = opt((), "degradations by name; none means all")
    num: int = opt(500, "films of each kind")
    first_seed: int = opt(1_000_000, "seed of the first film")
    num_workers: int = opt(2, "processes")
    failures: str = opt("", "folder for contact sheets of wrongly judged films; empty draws none")
    out: str = opt("", "file for the table in Markdown; empty writes none")

    def __post_init__(self) -> None:
        for key, known in (("worlds", WORLDS), ("degradations", DEGRADATIONS)):
            for name in getattr(self, key):
                if name not in known:
                    raise ValueError(f"{key}: expected some of {', '.join(known)}; got {name!r}")
        check_folder_of(self.out)


@dataclass(frozen=True)
class Trial:
    """One film, spoilt and judged."""

    seed: int
    moves: bool
    verdict: Verdict
    seconds: float


def make(seed: int, world: World) -> Film | None:
    """The film of a seed, held-out combinations included; None where the world knows none."""
    config = WorldConfig(holdout="include", split="all", **world.settings)
    side = world.side
    try:
        return film(seed, config, num_frames=world.num_frames, height=side, width=side, fps=world.fps)
    except ValueError:
        return None


def trial(seed: int, world: World, degradation: str) -> Trial | None:
    """Make, spoil, read and judge one film."""
    clip = make(seed, world)
    if clip is None:
        return None
    video = DEGRADATIONS[degradation](clip.video_THWC, seed)
    start = perf_counter()
    reading = read(video, world.fps)
    seconds = perf_counter() - start
    moves = any(o.direction != "still" or o.bounces for o in clip.facts.objects)
    return Trial(seed, moves, judge(reading, clip.facts.to_dict()), seconds)


def trials(name: str, degradation: str, config: ValidateConfig) -> list[Trial]:
    """All trials of one row of the table."""
    work = partial(trial, world=WORLDS[name], degradation=degradation)
    seeds = range(config.first_seed, config.first_seed + config.num)
    if config.num_workers < 2:
        found: Iterable[Trial | None] = map(work, seeds)
        return [each for each in found if each is not None]
    with ProcessPoolExecutor(config.num_workers, mp_context=get_context("spawn")) as pool:
        return [each for each in pool.map(work, seeds, chunksize=16) if each is not None]


HEADS = ("films", "spoilt by", "n", "subject", "motion", "motion of movers", "camera", "ms a film")


def row(name: str, degradation: str, done: list[Trial]) -> list[str]:
    """One row of the table: shares judged right, with Wilson's 95 % interval for the first two."""
    movers = [each for each in done if each.moves]

    def share(key: str, among: list[Trial], interval: bool = False) -> str:
        right = sum(getattr(each.verdict, key) for each in among)
        text = f"{100 * right / max(len(among), 1):.1f}"
        if not interval or not among:
            return text
        low, high = wilson_bounds(right, len(among))
        return f"{text} [{100 * low:.1f}, {100 * high:.1f}]"

    milliseconds = 1000 * float(np.median([each.seconds for each in done]))
    return [
        name,
        degradation,
        str(len(done)),
        share("subject", done, True),
        share("motion", done, True),
        share("motion", movers),
        share("camera", done),
        f"{milliseconds:.0f}",
    ]


def draw_failures(name: str, degradation: str, done: list[Trial], folder: Path, limit: int = 24) -> None:
    """A contact sheet of films judged wrongly."""
    rows = []
    for each in [d for d in done if not (d.verdict.subject and d.verdict.motion and d.verdict.camera)][
        :limit
    ]:
        clip = make(each.seed, WORLDS[name])
        assert clip is not None
        video = DEGRADATIONS[degradation](clip.video_THWC, each.seed)
        chips = tuple((key, getattr(each.verdict, key)) for key in ("subject", "motion", "camera"))
        prompt = captions(clip.facts)[0]
        rows.append(
            SheetRow(id=str(each.seed), prompt=prompt, frames_THWC=video, chips=chips, why=each.verdict.why)
        )
    if rows:
        folder.mkdir(parents=True, exist_ok=True)
        title = f"{name}, {degradation}: {len(rows)} of the films judged wrongly"
        draw(rows, title).save(folder / f"{name}-{degradation.replace(' ', '_').replace('.', '')}.png")


def validate(config: ValidateConfig, console: Console) -> list[list[str]]:
    """All rows of the table, printed as they come."""
    rows = []
    for name in config.worlds:
        for degradation in config.degradations or tuple(DEGRADATIONS):
            done = trials(name, degradation, config)
            rows.append(row(name, degradation, done))
            console.print("  ".join(f"{cell:<20}" for cell in rows[-1]), highlight=False)
            if config.failures:
                draw_failures(name, degradation, done, Path(config.failures))
    return rows


def main(argv: list[str]) -> None:
    config = from_command_line(ValidateConfig, argv, __doc__)
    if config is None:
        return
    console = Console()
    rows = validate(config, console)
    table = Table(*HEADS, title="Bounce checker on films whose truth is known, per cent judged right")
    for cells in rows:
        table.add_row(*cells)
    console.print(table)
    if config.out:
        lines = ["| " + " | ".join(cells) + " |" for cells in [list(HEADS), ["---"] * len(HEADS), *rows]]
        Path(config.out).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_command(main))
