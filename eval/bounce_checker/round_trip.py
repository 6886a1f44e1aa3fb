"""Compare reconstructions with originals: `python -m eval.bounce_checker.round_trip folder=FOLDER`.

FOLDER is written by `python -m src.reconstruct run=CODEC data=DATASET/val num_clips=0 manifests=true`,
DATASET being prepared from the Bounce world. The audio checker reads originals and reconstructions and
compares both with the facts. Prints, for all impacts and for each material, F1 of onsets, hits and materials
on originals and on reconstructions, their ratio with a 95 % interval over clips, and the level of the first
mode; and the means of the spectral distances and of SI-SDR, for clips and for their stems.
"""

import csv
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from data.bounce.audio import MODES, pitch_hz
from eval.alignment.onsets import detect_onsets, match_onsets
from eval.bounce_checker.audio import analyze_audio
from eval.bounce_checker.audio_trials import distinct_impacts
from eval.core.audio import Audio, read_audio
from eval.core.clusters import bootstrap_counts
from eval.core.intervals import mean_interval, percentile_bounds
from eval.core.manifest import Sample, read_manifest
from src.core.atomic import atomic_write
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import Config, opt
from src.core.markdown import markdown_table

ALL = "all"
KINDS = ("onset", "hit", "material")
SCORES = ("si_sdr", "mel", "stft")
ALONE_S = 0.2  # gap to other impacts, of impacts whose level is measured
BAND = 2.0 ** np.array([-0.25, 0.25])  # around the first mode
NUM_RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class RoundTripConfig(Config):
    """Settings of `eval.bounce_checker.round_trip`."""

    folder: str = opt("???", "folder of reconstructions: manifest.jsonl and scores.csv")
    num: int = opt(0, "clips of the manifest; 0: all", ge=0)
    tolerance_s: float = opt(0.04, "largest distance of a detected impact in seconds", gt=0)
    out: str = opt("", "Markdown file; empty: round_trip.md in the folder")


@dataclass
class ClipCounts:
    """Counts of one clip: (2 matches, expected + detected) by kind and material, for both versions."""

    original: dict[tuple[str, str], tuple[int, int]]
    output: dict[tuple[str, str], tuple[int, int]]
    levels_db: dict[str, list[float]] = field(default_factory=dict)


def count_clip(
    audio: Audio, facts: dict[str, Any], tolerance_s: float
) -> dict[tuple[str, str], tuple[int, int]]:
    """Return (2 matches, expected + detected) of onsets and hits, of materials together and one by one.

    A material counts where a hit near the impact has it, once for each object.
    """
    impacts = distinct_impacts(facts)
    times = np.array([time for time, _ in impacts])
    onsets, hits = detect_onsets(audio), analyze_audio(audio).hits
    pairs = match_onsets(np.array([hit.time_s for hit in hits]), times, tolerance_s)
    found: dict[tuple[str, str], tuple[int, int]] = {
        ("onset", ALL): (2 * len(match_onsets(onsets, times, tolerance_s)), len(times) + len(onsets)),
        ("hit", ALL): (2 * len(pairs), len(times) + len(hits)),
    }
    matched: dict[str, int] = defaultdict(int)
    for i, j in pairs:
        for material in set(hits[i].materials) & set(impacts[j][1]):
            matched[material] += min(hits[i].materials.count(material), impacts[j][1].count(material))
    for material in MODES:
        total = sum(names.count(material) for _, names in impacts)
        total += sum(hit.materials.count(material) for hit in hits)
        found["material", material] = (2 * matched[material], total)
    found["material", ALL] = tuple(  # type: ignore[assignment]
        sum(found["material", material][k] for material in MODES) for k in (0, 1)
    )
    return found


def measure_levels(output: Audio, original: Audio, facts: dict[str, Any]) -> dict[str, list[float]]:
    """Return the level of the first mode after impacts of one object, output over original in dB."""
    levels: dict[str, list[float]] = defaultdict(list)
    times = [impact["time_s"] for impact in facts["impacts"]]
    rate = original.rate
    for impact in facts["impacts"]:
        apart = [abs(time - impact["time_s"]) for time in times]
        start = round(impact["time_s"] * rate)
        if len(impact["objects"]) > 1 or sum(gap < ALONE_S for gap in apart) > 1:
            continue
        thing = facts["objects"][impact["objects"][0]]
        material = thing["material"]
        count = round(min(0.15, max(0.06, 0.6 * MODES[material].decay_s)) * rate)
        if start + count > original.samples_CS.shape[-1]:
            continue
        low, high = BAND * pitch_hz(material, thing["size"])
        powers = [
            _band_power(each.mono[start : start + count], rate, low, high) for each in (output, original)
        ]
        levels[material].append(float(10 * np.log10((powers[0] + 1e-12) / (powers[1] + 1e-12))))
    return levels


def _band_power(samples_S: np.ndarray, rate: int, low: float, high: float) -> float:
    size = max(16_384, len(samples_S))
    fade = np.hanning(2 * len(samples_S))[len(samples_S) :]
    hertz = np.fft.rfftfreq(size, 1 / rate)
    spectrum = np.abs(np.fft.rfft(samples_S * fade, size)) ** 2
    return float(spectrum[(hertz > low) & (hertz < high)].sum())


def count_all(folder: Path, samples: list[Sample], tolerance_s: float) -> list[ClipCounts]:
    """Read every clip's reconstruction and original."""
    clips = []
    for sample in samples:
        assert sample.facts is not None
        assert sample.audio is not None
        assert sample.reference is not None
        output, original = (read_audio(folder / each) for each in (sample.audio, sample.reference))
        before, after = (count_clip(each, sample.facts, tolerance_s) for each in (original, output))
        clips.append(ClipCounts(before, after, measure_levels(output, original, sample.facts)))
    return clips


def impact_rows(clips: list[ClipCounts]) -> list[list[str]]:
    """Return a row for each kind and material: number, F1 of originals and outputs, their ratio, level."""
    rows = []
    for kind, name in [(kind, ALL) for kind in KINDS] + [("material", material) for material in MODES]:
        before, after = (
            np.array([each[kind, name] for each in versions], float).reshape(-1, 2)
            for versions in ([clip.original for clip in clips], [clip.output for clip in clips])
        )
        levels = [db for clip in clips for db in clip.levels_db.get(name, ())]
        level = f"{np.median(levels):+.1f} ({len(levels)})" if levels else "-"
        if not before[:, 1].any():
            continue

        def ratio(counts: np.ndarray, before: np.ndarray = before, after: np.ndarray = after) -> float:
            (a, b), (c, d) = counts @ after, counts @ before
            return float(a / b / (c / d)) if b and c else np.nan

        drawn = bootstrap_counts([np.arange(len(clips))], NUM_RESAMPLES)
        resampled = [value for counts in drawn if np.isfinite(value := ratio(counts))]
        low, high = percentile_bounds(resampled) if resampled else (np.nan, np.nan)
        scores = [f"{each[:, 0].sum() / max(each[:, 1].sum(), 1):.3f}" for each in (before, after)]
        kept = f"{ratio(np.ones(len(clips))):.3f} [{low:.3f}, {high:.3f}]"
        rows.append([kind, name, str(int(before[:, 1].sum())), *scores, kept, level])
    return rows


def score_rows(path: Path) -> list[list[str]]:
    """Return the means of `scores.csv` with intervals, of clips and of each stem."""
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for name in SCORES:
                if row[name]:
                    values[row["stem"]][name].append(float(row[name]))
    return [
        [stem or "clips", *(_mean(each.get(name, [])) for name in SCORES)]
        for stem, each in sorted(values.items())
    ]


def _mean(values: list[float]) -> str:
    if not values:
        return "-"
    interval = mean_interval(values)
    bounds = f" [{interval.low:.2f}, {interval.high:.2f}]" if interval.bounds else ""
    return f"{interval.mean:.2f}{bounds}"


def measure(settings: RoundTripConfig, show: Callable[[str], object]) -> str:
    """Return the tables of a folder as Markdown."""
    folder = Path(settings.folder)
    try:
        samples = [s for s in read_manifest(folder / "manifest.jsonl") if s.facts and s.facts.get("impacts")]
    except ValueError as error:
        raise UserError(str(error)) from error
    if not samples:
        raise UserError(f"folder={folder}: no clip has facts with impacts; reconstruct a Bounce data set")
    clips = count_all(folder, samples[: settings.num or None], settings.tolerance_s)
    heads = ("F1 of", "material", "n", "original", "round trip", "ratio [95 %]", "level dB (n)")
    text = markdown_table(heads, impact_rows(clips))
    text += "\n" + markdown_table(("means of", "SI-SDR dB", "mel", "STFT"), score_rows(folder / "scores.csv"))
    show(text)
    return f"{len(clips)} clips with impacts, tolerance {settings.tolerance_s * 1000:.0f} ms\n\n{text}"


def main(argv: list[str]) -> None:
    """Print the tables and write them."""
    settings = from_command_line(RoundTripConfig, argv, __doc__)
    if settings is None:
        return
    console = Console(highlight=False)
    text = measure(settings, lambda table: console.print(table, soft_wrap=True))
    out = Path(settings.out or Path(settings.folder) / "round_trip.md")
    with atomic_write(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    console.print(f"written to {out}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(run_command(main))
