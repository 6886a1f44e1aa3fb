"""How far the Bounce sound checker can be believed: `python -m eval.bounce_checker.validate_audio [key=value]`.

Makes sounds of two seconds whose facts are known, spoils them in known ways, and prints how often the number
of hits, their materials and the place are heard right. Thresholds were chosen on other seeds.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.bounce.config import WorldConfig
from data.bounce.scene import draw_scene
from data.bounce.world import WORLD_VERSION, FilmFacts, sound
from eval.bounce_checker.audio import RATE, judge_sound_of, listen
from eval.core.audio import Sound
from eval.core.draws import generator
from eval.core.intervals import wilson_bounds
from eval.reports.tables import check_folder_of
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.fields import opt

WORLD = WorldConfig(max_objects=2, holdout="include", split="all")
HEADS = ("spoilt by", "n", "number of hits", "F1 of materials", "n with hits", "place")


def hiss(samples_S: np.ndarray) -> np.ndarray:
    return samples_S + generator(0, "validate/hiss").normal(0, 10 ** (-50 / 20), len(samples_S))


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "nothing": lambda samples_S: samples_S,
    "a third of the volume": lambda samples_S: samples_S / 3,
    "white noise at -50 dB": hiss,
    "silence": np.zeros_like,
}


@dataclass(frozen=True, kw_only=True)
class ValidateSoundConfig:
    """What to validate on."""

    num: int = opt(150, "films whose sound is heard")
    first_seed: int = opt(500_000, "seed of the first film")
    out: str = opt("", "file for the table in Markdown; empty writes none")

    def __post_init__(self) -> None:
        if self.num < 1:
            raise ValueError(f"num: must be positive, got {self.num}")
        check_folder_of(self.out)


def row(name: str, judged: list[dict[str, float]]) -> list[str]:
    """One row of the table: per cent judged right, with Wilson's 95 % interval, and the mean F1."""

    def share(key: str) -> str:
        right = sum(each[key] for each in judged)
        low, high = wilson_bounds(int(right), len(judged))
        return f"{100 * right / len(judged):.1f} [{100 * low:.1f}, {100 * high:.1f}]"

    f1 = [each["sound_material"] for each in judged if "sound_material" in each]
    mean = f"{np.mean(f1):.3f}" if f1 else "–"
    return [name, str(len(judged)), share("sound_count"), mean, str(len(f1)), share("sound_place")]


def validate(config: ValidateSoundConfig) -> list[list[str]]:
    """All rows: each way of spoiling, and each sound judged by the next film's facts."""
    scenes = [scene(config.first_seed + i) for i in range(config.num)]
    sounds, facts = [sound(each)[0] for each in scenes], [each.to_dict() for each in scenes]
    rows = []
    for name, change in CHANGES.items():
        heard = [listen(Sound(change(each)[None].astype(np.float32), RATE)) for each in sounds]
        rows.append(row(name, [judge_sound_of(h, f) for h, f in zip(heard, facts, strict=True)]))
        if name == "nothing":
            others = facts[1:] + facts[:1]
            wrong = [judge_sound_of(h, f) for h, f in zip(heard, others, strict=True)]
    return [*rows, row("the next film's facts", wrong)]


def scene(seed: int) -> FilmFacts:
    return draw_scene(seed, WORLD_VERSION, WORLD, 32, 32, 32, 16.0).facts


def main(argv: list[str]) -> None:
    config = from_command_line(ValidateSoundConfig, argv, __doc__)
    if config is None:
        return
    lines = ["| " + " | ".join(cells) + " |" for cells in [list(HEADS), ["---"] * 6, *validate(config)]]
    print("\n".join(lines))
    if config.out:
        Path(config.out).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_command(main))
