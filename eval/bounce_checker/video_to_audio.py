"""Compare generated audio of Bounce videos with controls: `python -m eval.bounce_checker.video_to_audio
model=DIR`.

DIR is written by `python -m src.generate run=AUDIO data=DATASET/val`, DATASET being prepared from the Bounce
world. Rows: silence; onsets at even distances, as many as the impacts; the model's audio of the next video
(shuffled); the codec's round trip and the true audio, from `codec=`, a folder of `src.reconstruct
manifests=true`; the model. Precision, recall and F1 are over all impacts of all videos together, with 95 %
intervals over videos; false onsets are counted per minute of videos without impacts. A histogram of the lags
of matched onsets follows.

Videos that a model generated have no true impacts: with `truth=video` they are read from the pixels
(`eval.bounce_checker.video_impacts`). Silent and clipped tracks are counted.
"""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console

from eval.alignment.onsets import detect_onsets, match_onsets
from eval.bounce_checker.audio import analyze_audio
from eval.bounce_checker.audio_trials import distinct_impacts
from eval.bounce_checker.video_impacts import read_impacts
from eval.core.audio import read_audio
from eval.core.clusters import bootstrap_counts
from eval.core.intervals import percentile_bounds
from eval.core.manifest import Sample, read_manifest
from src.core.atomic import atomic_write
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import Config, opt
from src.core.markdown import markdown_table

NUM_RESAMPLES = 1000
HEADS = ("audio", "videos", "impacts", "precision", "recall", "F1 [95 %]", "F1 at {fine:.0f} ms", "hit F1",
         "material of matched hits", "false onsets per minute")  # fmt: skip
LAG_BIN_MS = 10
SILENT_PEAK, CLIPPED_PEAK = 1e-3, 0.999  # of full scale


@dataclass(frozen=True, kw_only=True)
class VideoToAudioConfig(Config):
    """Settings of `eval.bounce_checker.video_to_audio`."""

    model: str = opt("???", "folder of generated audio: manifest.jsonl")
    codec: str = opt("", "folder of the codec's reconstructions of the same videos: manifest.jsonl")
    truth: Literal["facts", "video"] = opt(
        "facts", "where the impacts are from: the facts, or what the checker reads in the video"
    )
    id_prefix: str = opt("", "only samples whose id begins so")
    tolerance_s: float = opt(0.04, "largest distance of an onset from its impact in seconds", gt=0)
    fine_tolerance_s: float = opt(0.02, "the same for the finer F1", gt=0)
    out: str = opt("", "Markdown file; empty: video_to_audio.md in the folder")


@dataclass(frozen=True)
class Track:
    """Sounds of one track, and those that belong there: times in seconds, ascending."""

    impacts: np.ndarray
    onsets: np.ndarray
    seconds: float
    hits: np.ndarray = field(default_factory=lambda: np.zeros(0))
    materials: tuple[tuple[str, ...], ...] = ()  # of each hit
    expected: tuple[tuple[str, ...], ...] = ()  # of each impact; none where they are not known
    is_silent: bool = False
    is_clipped: bool = False


def hear(path: Path, impacts: list[tuple[float, tuple[str, ...]]]) -> Track:
    """Return the onsets and hits of an audio file with the impacts of its video: times and materials."""
    audio = read_audio(path)
    hits = analyze_audio(audio).hits
    peak = float(np.abs(audio.samples_CS).max(initial=0.0))
    return Track(
        np.array([time_s for time_s, _ in impacts], float),
        detect_onsets(audio),
        audio.samples_CS.shape[-1] / audio.rate,
        np.array([hit.time_s for hit in hits], float),
        tuple(tuple(sorted(hit.materials)) for hit in hits),
        tuple(materials for _, materials in impacts if materials),
        is_silent=peak < SILENT_PEAK,
        is_clipped=peak >= CLIPPED_PEAK,
    )


def expected_impacts(folder: Path, sample: Sample, truth: str) -> list[tuple[float, tuple[str, ...]]]:
    """Return the impacts of a sample's video: seconds, and the materials where they are known.

    Raises:
        UserError: the sample has nothing to read them from.
    """
    if truth == "video":
        if not sample.video:
            raise UserError(f"{folder}: {sample.id} has no video to read impacts from (truth=video)")
        return [(float(time), ()) for time in read_impacts(folder / sample.video)]
    if sample.facts is None:
        raise UserError(f"{folder}: {sample.id} has no facts or no audio; generate for a Bounce data set")
    return distinct_impacts(sample.facts)


def controls(tracks: list[Track]) -> dict[str, list[Track]]:
    """Return the rows that need no model: silence, even onsets, and each video with the next one's audio."""
    silence = [Track(t.impacts, np.zeros(0), t.seconds) for t in tracks]
    even = [
        Track(t.impacts, (np.arange(len(t.impacts)) + 0.5) * t.seconds / max(len(t.impacts), 1), t.seconds)
        for t in tracks
    ]
    others = [*tracks[1:], *tracks[:1]]
    shuffled = [
        Track(t.impacts, o.onsets, t.seconds, o.hits, o.materials, t.expected)
        for t, o in zip(tracks, others, strict=True)
    ]
    return {"silence": silence, "onsets at even distances": even, "model, shuffled": shuffled}


def table_row(name: str, tracks: list[Track], settings: VideoToAudioConfig) -> list[str]:
    """Return one row of the table."""
    some = [t for t in tracks if len(t.impacts)]
    without = [t for t in tracks if not len(t.impacts)]
    matched, fine, hits, right = (np.zeros(len(some)) for _ in range(4))
    for k, t in enumerate(some):
        matched[k] = len(match_onsets(t.onsets, t.impacts, settings.tolerance_s))
        fine[k] = len(match_onsets(t.onsets, t.impacts, settings.fine_tolerance_s))
        pairs = match_onsets(t.hits, t.impacts, settings.tolerance_s)
        hits[k] = len(pairs)
        right[k] = sum(t.materials[i] == t.expected[j] for i, j in pairs if t.expected)
    num_onsets, num_hits, num_impacts = (
        np.array([len(each) for each in column], float)
        for column in ([t.onsets for t in some], [t.hits for t in some], [t.impacts for t in some])
    )

    def f1(top: np.ndarray, detected: np.ndarray, weight: np.ndarray | float = 1.0) -> float:
        bottom = float((weight * (detected + num_impacts)).sum())
        return float((weight * 2 * top).sum()) / bottom if bottom else float("nan")

    low, high = float("nan"), float("nan")
    if some:
        drawn = bootstrap_counts([np.arange(len(some))], NUM_RESAMPLES)
        low, high = percentile_bounds([f1(matched, num_onsets, weight) for weight in drawn])
    minutes = sum(t.seconds for t in without) / 60
    return [
        name,
        str(len(some)),
        str(int(num_impacts.sum())),
        _fraction(matched.sum(), num_onsets.sum()),
        _fraction(matched.sum(), num_impacts.sum()),
        f"{f1(matched, num_onsets):.3f} [{low:.3f}, {high:.3f}]",
        f"{f1(fine, num_onsets):.3f}",
        f"{f1(hits, num_hits):.3f}" if num_hits.any() else "-",
        _fraction(right.sum(), sum(hits[k] for k, t in enumerate(some) if t.expected)),
        f"{sum(len(t.onsets) for t in without) / minutes:.1f}" if without else "-",
    ]


def lag_histogram(tracks: list[Track], tolerance_s: float) -> str:
    """Return the lags of matched onsets as text, one line for each bin: positive where audio is late."""
    lags_ms = [
        1000 * float(t.onsets[i] - t.impacts[j])
        for t in tracks
        for i, j in match_onsets(t.onsets, t.impacts, tolerance_s)
    ]
    counts = Counter(int(np.floor(lag / LAG_BIN_MS)) for lag in lags_ms)
    most = max(counts.values(), default=1)
    lines = [
        f"{LAG_BIN_MS * b:+4d} ms  {'#' * round(40 * counts[b] / most)} {counts[b]}"
        for b in range(min(counts, default=0), max(counts, default=-1) + 1)
    ]
    mean = f"mean of absolute lags {np.mean(np.abs(lags_ms)):.1f} ms" if lags_ms else "nothing matched"
    return "\n".join([mean, *lines])


def measure(settings: VideoToAudioConfig) -> str:
    """Return table and histogram as text.

    Raises:
        UserError: a manifest without audio or facts.
    """
    folder = Path(settings.model)
    tracks = _tracks(folder, settings, lambda sample: sample.audio)
    rows = controls(tracks)
    if settings.codec:
        rows["codec, round trip"] = _tracks(Path(settings.codec), settings, lambda sample: sample.audio)
        rows["true audio"] = _tracks(Path(settings.codec), settings, lambda sample: sample.reference)
    rows["model"] = tracks
    heads = tuple(head.format(fine=1000 * settings.fine_tolerance_s) for head in HEADS)
    table = markdown_table(heads, [table_row(name, each, settings) for name, each in rows.items()])
    faults = {"silent": sum(t.is_silent for t in tracks), "clipped": sum(t.is_clipped for t in tracks)}
    title = f"{len(tracks)} videos of {folder}, tolerance {1000 * settings.tolerance_s:.0f} ms; " + ", ".join(
        f"{count} {name}" for name, count in faults.items()
    )
    return f"{title}\n\n{table}\n```\n{lag_histogram(tracks, settings.tolerance_s)}\n```\n"


def _tracks(
    folder: Path, settings: VideoToAudioConfig, file_of: Callable[[Sample], str | Path | None]
) -> list[Track]:
    try:
        samples = [s for s in read_manifest(folder / "manifest.jsonl") if s.id.startswith(settings.id_prefix)]
    except ValueError as error:
        raise UserError(str(error)) from error
    tracks = []
    for sample in samples:
        file = file_of(sample)
        if file is None:
            raise UserError(f"{folder}: {sample.id} has no facts or no audio; generate for a Bounce data set")
        tracks.append(hear(folder / file, expected_impacts(folder, sample, settings.truth)))
    if not tracks:
        raise UserError(f"{folder}: no samples with id_prefix={settings.id_prefix!r}")
    return tracks


def _fraction(top: float, bottom: float) -> str:
    return f"{top / bottom:.3f}" if bottom else "-"


def main(argv: list[str]) -> None:
    """Print the table and write it."""
    settings = from_command_line(VideoToAudioConfig, argv, __doc__)
    if settings is None:
        return
    text = measure(settings)
    Console(highlight=False).print(text, soft_wrap=True, markup=False)
    out = Path(settings.out or Path(settings.model) / "video_to_audio.md")
    with atomic_write(out) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_command(main))
