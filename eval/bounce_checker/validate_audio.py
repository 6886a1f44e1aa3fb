"""Measure the Bounce audio checker's accuracy: `python -m eval.bounce_checker.validate_audio [key=value]`.

Synthesizes audio of two seconds with known facts, degrades it, and prints how often the number of hits, their
materials and the background are recognized correctly. Thresholds were chosen on other seeds.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.bounce.config import WorldConfig
from data.bounce.scene import sample_scene
from data.bounce.world import WORLD_VERSION, VideoFacts, render_audio
from eval.bounce_checker.audio import SAMPLE_RATE, analyze_audio, evaluate_audio
from eval.core.audio import Audio
from eval.core.intervals import wilson_bounds
from eval.reports.tables import require_parent_dir
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.fields import Config, opt
from src.core.markdown import markdown_table
from src.core.rng import numpy_generator

WORLD = WorldConfig(max_objects=2, holdout="include", split="all")
HEADS = ("degradation", "n", "number of hits", "F1 of materials", "n with hits", "background")


def add_white_noise(samples_S: np.ndarray) -> np.ndarray:
    """Add white noise at -50 dB of full scale."""
    return samples_S + numpy_generator(0, "validate/hiss").normal(0, 10 ** (-50 / 20), len(samples_S))


DEGRADATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda samples_S: samples_S,
    "a third of the volume": lambda samples_S: samples_S / 3,
    "white noise at -50 dB": add_white_noise,
    "silence": np.zeros_like,
}


@dataclass(frozen=True, kw_only=True)
class ValidateAudioConfig(Config):
    """Settings of `eval.bounce_checker.validate_audio`."""

    num: int = opt(150, "videos whose audio is analyzed", ge=1)
    first_seed: int = opt(500_000, "seed of the first video", ge=0)
    out: str = opt("", "Markdown file for the table; empty writes none")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_parent_dir(self.out)


def format_row(name: str, scores: list[dict[str, float]]) -> list[str]:
    """Return one row of the table: per cent correct, with Wilson's 95 % interval, and the mean F1."""

    def percent(key: str) -> str:
        correct = sum(each[key] for each in scores)
        low, high = wilson_bounds(int(correct), len(scores))
        return f"{100 * correct / len(scores):.1f} [{100 * low:.1f}, {100 * high:.1f}]"

    f1 = [each["audio_materials"] for each in scores if "audio_materials" in each]
    mean = f"{np.mean(f1):.3f}" if f1 else "–"
    return [name, str(len(scores)), percent("audio_hits"), mean, str(len(f1)), percent("audio_background")]


def validate(config: ValidateAudioConfig) -> list[list[str]]:
    """Return all rows: each degradation, and each audio track against the facts of the next video."""
    scenes = [draw_facts(config.first_seed + i) for i in range(config.num)]
    tracks, facts = [render_audio(each)[0] for each in scenes], [each.to_dict() for each in scenes]
    rows = []
    for name, degrade in DEGRADATIONS.items():
        readings = [
            analyze_audio(Audio(degrade(each)[None].astype(np.float32), SAMPLE_RATE)) for each in tracks
        ]
        rows.append(format_row(name, [evaluate_audio(r, f) for r, f in zip(readings, facts, strict=True)]))
        if name == "none":
            others = facts[1:] + facts[:1]
            mismatched = [evaluate_audio(r, f) for r, f in zip(readings, others, strict=True)]
    return [*rows, format_row("facts of the next video", mismatched)]


def draw_facts(seed: int) -> VideoFacts:
    """Return the facts of a video of two seconds."""
    return sample_scene(seed, WORLD_VERSION, WORLD, 32, 32, 32, 16.0).facts


def main(argv: list[str]) -> None:
    """Print the table, and write it if `out` is set."""
    config = from_command_line(ValidateAudioConfig, argv, __doc__)
    if config is None:
        return
    table = markdown_table(HEADS, validate(config))
    print(table, end="")
    if config.out:
        Path(config.out).write_text(table, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_command(main))
