"""Trials of the Bounce checker: render, degrade and analyze a video, compare the reading with its facts."""

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import numpy as np
from rich.console import Console

from data.bounce.captions import caption_variants
from data.bounce.config import WorldConfig
from data.bounce.world import BounceVideo, make_video
from eval.bounce_checker.checker import Verdict, analyze_video, evaluate_reading
from eval.bounce_checker.validate_config import WORLDS, ValidateCheckerConfig, World
from eval.core.degradations import DEGRADATIONS
from eval.core.intervals import wilson_bounds
from eval.reports.contact_sheet import SheetRow, draw_sheet

ASPECTS = ("subject", "motion", "camera")
HEADS = ("videos", "degradation", "n", "subject", "motion", "motion (moving)", "camera", "ms per video")


@dataclass(frozen=True)
class CheckerTrial:
    """The verdict on one degraded video. `moves`: True if any object moves or bounces."""

    seed: int
    moves: bool
    verdict: Verdict
    seconds: float


def render(seed: int, world: World) -> BounceVideo | None:
    """Return the video of a seed, held-out combinations included; None if the world has no such video."""
    config = WorldConfig(holdout="include", split="all", **world.settings)
    side = world.side
    try:
        return make_video(seed, config, num_frames=world.num_frames, height=side, width=side, fps=world.fps)
    except ValueError:
        return None


def run_trial(seed: int, world: World, degradation: str) -> CheckerTrial | None:
    """Render, degrade, analyze and evaluate one video."""
    clip = render(seed, world)
    if clip is None:
        return None
    video = DEGRADATIONS[degradation](clip.video_THWC, seed)
    start = perf_counter()
    reading = analyze_video(video, world.fps)
    seconds = perf_counter() - start
    moves = any(o.direction != "still" or o.bounces for o in clip.facts.objects)
    return CheckerTrial(seed, moves, evaluate_reading(reading, clip.facts.to_dict()), seconds)


def run_trials(name: str, degradation: str, config: ValidateCheckerConfig) -> list[CheckerTrial]:
    """Return all trials of one row of the table."""
    work = partial(run_trial, world=WORLDS[name], degradation=degradation)
    seeds = range(config.first_seed, config.first_seed + config.num)
    if config.num_workers < 2:
        found: Iterable[CheckerTrial | None] = map(work, seeds)
        return [each for each in found if each is not None]
    with ProcessPoolExecutor(config.num_workers, mp_context=get_context("spawn")) as pool:
        return [each for each in pool.map(work, seeds, chunksize=16) if each is not None]


def format_row(name: str, degradation: str, trials: list[CheckerTrial]) -> list[str]:
    """Return one row of the table: per cent correct, with Wilson's 95 % interval for the first two."""
    movers = [each for each in trials if each.moves]

    def percent(aspect: str, among: list[CheckerTrial], interval: bool = False) -> str:
        correct = sum(getattr(each.verdict, aspect) for each in among)
        text = f"{100 * correct / max(len(among), 1):.1f}"
        if not interval or not among:
            return text
        low, high = wilson_bounds(correct, len(among))
        return f"{text} [{100 * low:.1f}, {100 * high:.1f}]"

    milliseconds = 1000 * float(np.median([each.seconds for each in trials]))
    return [
        name,
        degradation,
        str(len(trials)),
        percent("subject", trials, True),
        percent("motion", trials, True),
        percent("motion", movers),
        percent("camera", trials),
        f"{milliseconds:.0f}",
    ]


def save_failures(
    name: str, degradation: str, trials: list[CheckerTrial], folder: Path, max_rows: int = 24
) -> None:
    """Write a contact sheet of wrongly scored videos."""
    failed = [each for each in trials if not all(getattr(each.verdict, key) for key in ASPECTS)]
    rows = []
    for each in failed[:max_rows]:
        clip = render(each.seed, WORLDS[name])
        assert clip is not None
        video = DEGRADATIONS[degradation](clip.video_THWC, each.seed)
        badges = tuple((key, getattr(each.verdict, key)) for key in ASPECTS)
        prompt = caption_variants(clip.facts)[0]
        rows.append(
            SheetRow(id=str(each.seed), prompt=prompt, frames_THWC=video, badges=badges, why=each.verdict.why)
        )
    if rows:
        folder.mkdir(parents=True, exist_ok=True)
        title = f"{name}, {degradation}: {len(rows)} of the {len(failed)} misjudged videos"
        file = f"{name}-{degradation.replace(' ', '_').replace('.', '')}.png"
        draw_sheet(rows, title).save(folder / file)


def validate(config: ValidateCheckerConfig, console: Console) -> list[list[str]]:
    """Return all rows of the table, and print each as soon as it is done."""
    rows = []
    for name in config.worlds:
        for degradation in config.degradations or tuple(DEGRADATIONS):
            trials = run_trials(name, degradation, config)
            rows.append(format_row(name, degradation, trials))
            console.print("  ".join(f"{cell:<20}" for cell in rows[-1]), highlight=False)
            if config.failures:
                save_failures(name, degradation, trials, Path(config.failures))
    return rows
