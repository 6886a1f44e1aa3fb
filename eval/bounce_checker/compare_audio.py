"""Compare audio with the truth: `python -m eval.bounce_checker.compare_audio manifest=FILE.jsonl`.

Each sample of the manifest has audio and the facts of its Bounce video. The audio that the facts describe is
rendered and read by the same checker, so that every score of the samples is shown with the checker's own and
as a fraction of it, over the same impacts; slices by background, material and gap for both.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.bounce.audio import render_audio
from data.bounce.facts import VideoFacts
from eval.bounce_checker.audio_reading import analyze_audio
from eval.bounce_checker.audio_spectra import SAMPLE_RATE
from eval.bounce_checker.audio_tables import COLUMNS, SLICE_HEADS, pool, slice_rows
from eval.bounce_checker.audio_trials import AudioTrial, score_audio
from eval.bounce_checker.config import AudioCheckerConfig
from eval.core.audio import Audio
from eval.core.manifest import read_manifest
from eval.core.results import Item
from eval.reports.tables import require_parent_dir
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import Config, opt
from src.core.markdown import markdown_table
from src.core.progress import progress
from src.core.rng import numpy_generator

HEADS = ("score", "samples [95 %]", "truth", "fraction of truth [95 %]")
NUM_RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class CompareAudioConfig(Config):
    """Settings of `eval.bounce_checker.compare_audio`."""

    manifest: str = opt("", "samples with audio (or videos with audio) and facts")
    checker: AudioCheckerConfig = opt(AudioCheckerConfig(), "tolerances")
    seed: int = opt(0, "of the bootstrap")
    out: str = opt("", "Markdown file for the tables; empty writes none")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_parent_dir(self.out)
        if not self.manifest:
            raise ValueError("manifest must be given: a file with audio and facts of every sample")


def compare(config: CompareAudioConfig) -> str:
    """Return the tables as Markdown.

    Raises:
        UserError: a sample has no facts of a video.
    """
    path = Path(config.manifest)
    if not path.is_file():
        raise UserError(f"manifest: no such file: {path}")
    samples = read_manifest(path)
    trials: list[tuple[AudioTrial, AudioTrial]] = []
    with progress("audio", len(samples)) as done:
        for sample in samples:
            if not sample.facts or "impacts" not in sample.facts:
                raise UserError(f"{path}: sample {sample.id!r} has no `facts` of a Bounce video")
            truth = Audio(render_audio(VideoFacts.from_dict(sample.facts)), SAMPLE_RATE)
            scored = [
                score_audio(analyze_audio(audio), sample.facts, config.checker)
                for audio in (Item(sample, path.parent).audio, truth)
            ]
            trials.append((scored[0], scored[1]))
            done(1)
    found, truth_trials = [pair[0] for pair in trials], [pair[1] for pair in trials]
    return "\n".join(
        [
            f"{len(trials)} samples, tolerances {1000 * config.checker.tolerance_s:g} and "
            f"{1000 * config.checker.fine_tolerance_s:g} ms; per cent, but false hits per track.\n",
            markdown_table(HEADS, score_rows(trials, config)),
            "Samples:\n",
            markdown_table(SLICE_HEADS, slice_rows(found, config.checker)),
            "Truth:\n",
            markdown_table(SLICE_HEADS, slice_rows(truth_trials, config.checker)),
        ]
    )


def score_rows(trials: list[tuple[AudioTrial, AudioTrial]], config: CompareAudioConfig) -> list[list[str]]:
    """Return a row for each score; intervals by resampling whole tracks."""
    random = numpy_generator(config.seed, "compare_audio/bootstrap")
    draws = [random.integers(0, len(trials), len(trials)) for _ in range(NUM_RESAMPLES)]
    rows = []
    for key, title in COLUMNS.items():
        table = _numbers(trials, key, config.checker)
        scale = 1.0 if key == "false_hits" else 100.0
        if not table[:, [1, 3]].sum(0).all():
            continue
        resampled = np.stack([table[draw].sum(0) for draw in draws])
        cells = [_with_interval(_ratio(table.sum(0)[:2]), _ratios(resampled[:, :2]), scale)]
        cells.append(f"{scale * _ratio(table.sum(0)[2:]):.1f}")
        if key == "false_hits" or not table.sum(0)[2]:
            cells.append("–")
        else:
            fraction = _ratio(table.sum(0)[:2]) / _ratio(table.sum(0)[2:])
            fractions = _ratios(resampled[:, :2]) / np.maximum(_ratios(resampled[:, 2:]), 1e-12)
            cells.append(_with_interval(fraction, fractions, 100.0))
        rows.append([title, *cells])
    return rows


def _numbers(
    trials: list[tuple[AudioTrial, AudioTrial]], key: str, settings: AudioCheckerConfig
) -> np.ndarray:
    """Return numerator and denominator of samples and truth for each track, [N, 4]."""
    none = (0.0, 0.0)
    return np.array(
        [[n for trial in pair for n in pool([trial], settings).get(key, none)] for pair in trials], float
    )


def _ratio(sums: np.ndarray) -> float:
    return float(sums[0] / sums[1])


def _ratios(sums_N2: np.ndarray) -> np.ndarray:
    return sums_N2[:, 0] / np.maximum(sums_N2[:, 1], 1e-12)


def _with_interval(value: float, resampled: np.ndarray, scale: float) -> str:
    low, high = np.quantile(resampled, [0.025, 0.975])
    return f"{scale * value:.1f} [{scale * low:.1f}, {scale * high:.1f}]"


def main(argv: list[str]) -> None:
    """Print the tables, and write them if `out` is set."""
    config = from_command_line(CompareAudioConfig, argv, __doc__)
    if config is None:
        return
    text = compare(config)
    print(text, end="")
    if config.out:
        Path(config.out).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_command(main))
