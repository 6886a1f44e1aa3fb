"""Measure the game checker's accuracy on recordings with known events.

    python -m eval.vizdoom_checker.validate manifest=runs/vizdoom_tiny/val/manifest.jsonl

Rows: the recordings themselves, degraded ones, silence, facts of the next clip, and left and right exchanged.
The first rows should be near 1, the last ones low.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eval.core.audio import Audio, read_audio
from eval.core.intervals import wilson_bounds
from eval.core.manifest import read_manifest
from eval.core.results import Measurement
from eval.reports.tables import require_parent_dir
from eval.vizdoom_checker.metric import score_shots
from eval.vizdoom_checker.shots import find_shots
from eval.vizdoom_checker.sides import check_sides
from eval.vizdoom_checker.templates import read_templates
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import Config, opt
from src.core.markdown import markdown_table
from src.core.rng import numpy_generator

HEADS = (
    "audio",
    "clips",
    "shots",
    "F1 at 40 ms",
    "F1 at 20 ms",
    "weapon",
    "false per min",
    "sources",
    "side [95 %]",
)


@dataclass(frozen=True, kw_only=True)
class ValidateConfig(Config):
    """Settings of `eval.vizdoom_checker.validate`."""

    manifest: str = opt("", "manifest of recordings with facts, of data.vizdoom.export on a validation split")
    out: str = opt("", "Markdown file for the table; empty writes none")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_parent_dir(self.out)
        if not self.manifest:
            raise ValueError("manifest must be given: that of data.vizdoom.export on a validation split")


def _scaled(factor: float) -> Callable[[Audio], Audio]:
    return lambda audio: Audio(audio.samples_CS * np.float32(factor), audio.rate)


def _with_noise(audio: Audio) -> Audio:
    noise = numpy_generator(0, "vizdoom/noise").normal(0, 10 ** (-50 / 20), audio.samples_CS.shape)
    return Audio(audio.samples_CS + noise.astype(np.float32), audio.rate)


DEGRADATIONS: dict[str, Callable[[Audio], Audio]] = {
    "as recorded": lambda audio: audio,
    "half the volume": _scaled(0.5),
    "white noise at -50 dB": _with_noise,
    "resampled to 16 kHz": lambda audio: audio.resample(16_000),
    "one channel": lambda audio: audio.mixdown(1),
    "left and right exchanged": lambda audio: Audio(audio.samples_CS[::-1], audio.rate),
    "silence": _scaled(0.0),
}


def validate(config: ValidateConfig) -> list[list[str]]:
    """Return the rows of the table."""
    root = Path(config.manifest).parent
    samples = [s for s in read_manifest(config.manifest) if s.audio and s.facts]
    if not samples:
        raise UserError(f"{config.manifest}: no sample has audio and facts")
    clips = [(read_audio(root / str(s.audio)), s.facts or {}) for s in samples]
    rows = [
        _row(name, [(degrade(audio), facts) for audio, facts in clips])
        for name, degrade in DEGRADATIONS.items()
    ]
    others = [facts for _, facts in clips[1:] + clips[:1]]
    shuffled = [(audio, facts) for (audio, _), facts in zip(clips, others, strict=True)]
    return [*rows, _row("facts of the next clip", shuffled)]


def _row(name: str, clips: list[tuple[Audio, dict[str, Any]]]) -> list[str]:
    templates = read_templates()
    readings = [(find_shots(audio, templates), check_sides(audio, facts), facts) for audio, facts in clips]
    wide = [score_shots(*reading) for reading in readings]
    narrow = [score_shots(*reading, tolerance_s=0.02) for reading in readings]
    shots = int(_pooled(wide, "shot_recall")[1])
    quiet = [(m, audio) for m, (audio, _) in zip(wide, clips, strict=True) if "shot_false" in m.values]
    minutes = sum(audio.samples_CS.shape[1] / audio.rate for _, audio in quiet) / 60
    num_false = sum(m.values["shot_false"] for m, _ in quiet)
    right, sources = _pooled(wide, "audio_side")
    low, high = wilson_bounds(int(right), int(sources)) if sources else (0.0, 1.0)
    return [
        name,
        str(len(clips)),
        str(shots),
        _ratio(_pooled(wide, "shot_f1")),
        _ratio(_pooled(narrow, "shot_f1")),
        _ratio(_pooled(wide, "shot_weapon")),
        f"{num_false / minutes:.2f}" if minutes else "–",
        str(int(sources)),
        f"{_ratio((right, sources))} [{low:.3f}, {high:.3f}]",
    ]


def _pooled(scores: list[Measurement], name: str) -> tuple[float, float]:
    top, bottom = np.sum([each.pooled[name] for each in scores], axis=0)
    return float(top), float(bottom)


def _ratio(pair: tuple[float, float]) -> str:
    return f"{pair[0] / pair[1]:.3f}" if pair[1] else "–"


def main(argv: list[str]) -> None:
    """Print the table, and write it if `out` is set."""
    config = from_command_line(ValidateConfig, argv, __doc__)
    if config is None:
        return
    table = markdown_table(HEADS, validate(config))
    print(table, end="")
    if config.out:
        Path(config.out).write_text(table, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_command(main))
