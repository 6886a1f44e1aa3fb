"""Measure the Bounce audio checker's accuracy: `python -m eval.bounce_checker.validate_audio [key=value]`.

Synthesizes audio with known facts, degrades it, and prints how often impacts, the objects that rang,
background and music are recognized, then the same of undegraded audio by background, material and gap. Scores
of models cannot be expected above those of the first row; `eval.bounce_checker.compare_audio` gives their
fraction of it. Thresholds were chosen on other seeds.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data.bounce.audio import render_audio
from data.bounce.audio_config import AudioContentConfig
from data.bounce.audio_scene import sample_audio_scene
from data.bounce.config import AUDIO_WORLD
from data.bounce.facts import VideoFacts
from data.bounce.music_vocabulary import PARTS
from data.bounce.world import WORLD_VERSION
from eval.bounce_checker.audio_degradations import DEGRADATIONS
from eval.bounce_checker.audio_reading import AudioReading, analyze_audio
from eval.bounce_checker.audio_spectra import SAMPLE_RATE
from eval.bounce_checker.audio_tables import HEADS, SLICE_HEADS, slice_rows, track_row
from eval.bounce_checker.audio_trials import AudioTrial, score_audio
from eval.bounce_checker.config import AudioCheckerConfig
from eval.core.audio import Audio
from eval.reports.tables import require_parent_dir
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.fields import Config, opt
from src.core.markdown import markdown_table
from src.core.progress import progress

NEXT = "facts of the next video"
FPS = 16.0


@dataclass(frozen=True, kw_only=True)
class ValidateAudioConfig(Config):
    """Settings of `eval.bounce_checker.validate_audio`."""

    num: int = opt(150, "videos whose audio is analyzed", ge=1)
    seconds: float = opt(3.0, "their length", gt=0.5)
    parts: tuple[str, ...] = opt(("impacts", "ambience"), "parts of their audio", choices=PARTS)
    degradations: tuple[str, ...] = opt(
        tuple(DEGRADATIONS), "degradations by name", choices=tuple(DEGRADATIONS)
    )
    first_seed: int = opt(500_000, "seed of the first video", ge=0)
    checker: AudioCheckerConfig = opt(AudioCheckerConfig(), "tolerances")
    out: str = opt("", "Markdown file for the tables; empty writes none")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_parent_dir(self.out)


def validate(config: ValidateAudioConfig) -> tuple[list[list[str]], list[list[str]]]:
    """Return the rows of both tables."""
    content = AudioContentConfig(parts=config.parts)
    scenes = [draw_facts(config.first_seed + i, config.seconds, content) for i in range(config.num)]
    rows, slices = [], []
    with progress("audio", config.num * len(config.degradations)) as done:
        for name in config.degradations:
            readings = []
            for facts in scenes:
                readings.append(read_degraded(facts, name))
                done(1)
            speed = DEGRADATIONS[name].speed
            trials = score_all(readings, [earlier(facts, speed) for facts in scenes], config.checker)
            rows.append(track_row(name, trials, config.checker))
            if name == "none":
                slices = slice_rows(trials, config.checker)
                others = score_all(readings, scenes[1:] + scenes[:1], config.checker)
    return ([*rows, track_row(NEXT, others, config.checker)] if slices else rows), slices


def score_all(
    readings: list[AudioReading], scenes: list[VideoFacts], settings: AudioCheckerConfig
) -> list[AudioTrial]:
    """Compare each reading with its facts."""
    return [
        score_audio(reading, facts.to_dict(), settings)
        for reading, facts in zip(readings, scenes, strict=True)
    ]


def read_degraded(facts: VideoFacts, degradation: str) -> AudioReading:
    """Render, degrade and analyze audio."""
    samples_S = DEGRADATIONS[degradation].apply(render_audio(facts)[0])
    return analyze_audio(Audio(samples_S[None].astype(np.float32), SAMPLE_RATE))


def earlier(facts: VideoFacts, speed: float) -> VideoFacts:
    """Return the facts of audio that is played faster."""
    impacts = tuple(replace(impact, time_s=impact.time_s / speed) for impact in facts.impacts)
    return replace(facts, impacts=impacts)


def draw_facts(seed: int, seconds: float, content: AudioContentConfig) -> VideoFacts:
    """Return the facts of a video of some length."""
    size = (round(seconds * FPS), 32, 32, FPS)
    return sample_audio_scene(seed, WORLD_VERSION, AUDIO_WORLD, content, *size).facts


def main(argv: list[str]) -> None:
    """Print the tables, and write them if `out` is set."""
    config = from_command_line(ValidateAudioConfig, argv, __doc__)
    if config is None:
        return
    rows, slices = validate(config)
    text = markdown_table(HEADS, rows) + "\n" + (markdown_table(SLICE_HEADS, slices) if slices else "")
    print(text, end="")
    if config.out:
        Path(config.out).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_command(main))
