"""Test the borders of long audio: `python -m eval.bounce_checker.window_borders [manifests=[FILE,...]]`.

Audio that was generated in windows or segments should jump no more at their borders than inside them: the
median jump of spectrum and loudness at borders, over that at random times, must have a 95 % interval inside
[0.9, 1.1] over at least 200 borders. Impacts are left out.

Without manifests the test is tried on rendered truth, music and swelling ambience: uncut, with borders that
are only named, and as joins of two takes that it must find. Each is tried `num_trials` times. With
manifests of `src.generate` it tests what was generated, and, where the same items were generated with other
seeds (`takes=`), the same joins of the model's own takes.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.bounce.audio import SAMPLE_RATE
from eval.alignment.onsets import detect_onsets, match_onsets
from eval.bounce_checker.audio import analyze_audio
from eval.bounce_checker.audio_trials import distinct_impacts
from eval.bounce_checker.border_jumps import (
    BOUNDS,
    MIN_BORDERS,
    BorderRatio,
    BorderTrack,
    compare_borders,
)
from eval.bounce_checker.border_takes import CONTENTS, JOINS
from eval.core.audio import Audio, read_audio
from eval.core.manifest import Sample, read_manifest
from eval.reports.tables import require_parent_dir
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import Config, opt
from src.core.markdown import markdown_table
from src.core.progress import progress

HEADS = ("audio", "tracks", "borders", "left out", "spectrum [95 %]", "loudness [95 %]", "verdict")
TRIAL_HEADS = ("audio", "joins", *HEADS[1:3], *HEADS[4:6], "trials that find no border", "that find borders")
SYNC_HEADS = ("audio", "impacts", "F1 of onsets, first third", "middle", "last third")


@dataclass(frozen=True, kw_only=True)
class WindowBordersConfig(Config):
    """Settings of `eval.bounce_checker.window_borders`."""

    manifests: tuple[str, ...] = opt((), "manifests of generated audio; none: try the test on rendered truth")
    takes: tuple[str, ...] = opt(
        (), "manifests of the same items with other seeds, one for each of manifests"
    )
    impacts: bool = opt(
        True, "leave out borders near impacts: of the facts, and those that the checker hears"
    )
    num_trials: int = opt(20, "rendered truth: trials of each row", ge=1)
    num_tracks: int = opt(24, "rendered truth: tracks of a trial", ge=2)
    seconds: float = opt(45.0, "rendered truth: their length", gt=5)
    hop_s: float = opt(1.4, "rendered truth: distance of borders; no multiple of a beat", gt=0.7)
    first_seed: int = opt(700_000, "rendered truth: first seed", ge=0)
    tolerance_s: float = opt(0.04, "largest distance of an onset from its impact", gt=0)
    out: str = opt("", "Markdown file for the tables; empty writes none")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_parent_dir(self.out)
        if self.takes and len(self.takes) != len(self.manifests):
            raise ValueError(f"takes: {len(self.takes)} for {len(self.manifests)} manifests")


# ---- rendered truth


def truth_tracks(content: str, config: WindowBordersConfig, trial: int) -> dict[str, list[BorderTrack]]:
    """Return the tracks of a trial by join."""
    count = round(config.seconds * SAMPLE_RATE)
    borders = [round(each * SAMPLE_RATE) for each in np.arange(config.hop_s, config.seconds, config.hop_s)]
    found: dict[str, list[BorderTrack]] = {name: [] for name in JOINS}
    for i in range(config.num_tracks):
        seed = config.first_seed + trial * config.num_tracks + i
        render = CONTENTS[content]
        takes = render(seed, count, 0), render(seed, count, 1), render(seed + 1, count, 0)
        for name, join in JOINS.items():
            times = tuple(each / SAMPLE_RATE for each in borders)
            found[name].append(BorderTrack(join(*takes, borders), SAMPLE_RATE, times))
    return found


def try_on_truth(config: WindowBordersConfig) -> str:
    """Return the table of the test on rendered truth: the first trial's ratio and how all trials decide."""
    results: dict[tuple[str, str], list[BorderRatio]] = {}
    with progress("trials", len(CONTENTS) * config.num_trials) as done:
        for content in CONTENTS:
            for trial in range(config.num_trials):
                for join, tracks in truth_tracks(content, config, trial).items():
                    results.setdefault((content, join), []).append(compare_borders(tracks))
                done(1)
    rows = []
    for (content, join), ratios in results.items():
        first, num = ratios[0], len(ratios)
        smooth, found = sum(each.is_smooth for each in ratios), sum(each.is_found for each in ratios)
        cells = [str(first.num_tracks), str(first.num_borders), *_ratios(first)]
        rows.append([content, join, *cells, f"{smooth} of {num}", f"{found} of {num}"])
    return markdown_table(TRIAL_HEADS, rows)


# ---- generated audio


def generated_tracks(path: Path, *, leave_out: bool) -> tuple[list[Sample], list[BorderTrack]]:
    """Return samples of a manifest that have borders, and their tracks.

    Raises:
        UserError: none of them has.
    """
    samples = [each for each in _read(path) if each.audio and (each.generation or {}).get("borders_s")]
    if not samples:
        raise UserError(f"{path}: no item was sampled in windows or segments (generation.borders_s)")
    tracks = []
    for sample in samples:
        audio = read_audio(path.parent / str(sample.audio))
        borders = tuple((sample.generation or {})["borders_s"])
        tracks.append(
            BorderTrack(
                np.asarray(audio.mono, np.float64),
                audio.rate,
                borders,
                impacts_of(sample, audio) if leave_out else (),
            )
        )
    return samples, tracks


def impacts_of(sample: Sample, audio: Audio) -> tuple[float, ...]:
    """Return the times of the facts' impacts, and of those that the checker hears."""
    expected = [time_s for time_s, _ in distinct_impacts(sample.facts)] if sample.facts else []
    return (*expected, *(hit.time_s for hit in analyze_audio(audio).hits))


def joined_takes(tracks: list[BorderTrack], takes: list[BorderTrack]) -> dict[str, list[BorderTrack]]:
    """Return joins of the model's own takes, at the same borders."""
    found: dict[str, list[BorderTrack]] = {}
    others = [*tracks[1:], tracks[0]]
    for name, join in JOINS.items():
        if name == "none":
            continue
        for track, take, content in zip(tracks, takes, others, strict=True):
            size = min(len(each.samples_S) for each in (track, take, content))
            borders = [round(each * track.rate) for each in track.borders_s if each * track.rate < size]
            one, two, three = (each.samples_S[:size] for each in (track, take, content))
            joined = join(one, two, three, borders)
            impacts = (*track.impacts_s, *take.impacts_s)
            found.setdefault(name, []).append(BorderTrack(joined, track.rate, track.borders_s, impacts))
    return found


def sync_row(name: str, samples: list[Sample], root: Path, tolerance_s: float) -> list[str] | None:
    """Return F1 of onsets by thirds of the tracks, or None if no facts have impacts."""
    matched, total = np.zeros(3), np.zeros(3)
    num = 0
    for sample in samples:
        found = distinct_impacts(sample.facts) if sample.facts else []
        impacts = np.array([time_s for time_s, _ in found], float)
        if not len(impacts):
            continue
        audio = read_audio(root / str(sample.audio))
        onsets, third = detect_onsets(audio), audio.samples_CS.shape[1] / audio.rate / 3
        num += len(impacts)
        for _, j in match_onsets(onsets, impacts, tolerance_s):
            matched[min(int(impacts[j] / third), 2)] += 2
        for each in (onsets, impacts):
            total += np.bincount(np.minimum(np.asarray(each) / third, 2).astype(int), minlength=3)
    if not num:
        return None
    return [name, str(num), *(f"{m / t:.3f}" if t else "-" for m, t in zip(matched, total, strict=True))]


def test_generated(config: WindowBordersConfig) -> str:
    """Return the tables of generated audio."""
    rows, sync = [], []
    for k, manifest in enumerate(config.manifests):
        path = Path(manifest)
        name = str(path.parent)
        samples, tracks = generated_tracks(path, leave_out=config.impacts)
        rows.append(ratio_row(name, compare_borders(tracks)))
        if config.takes:
            other, takes = generated_tracks(Path(config.takes[k]), leave_out=config.impacts)
            if [each.id for each in other] != [each.id for each in samples]:
                raise UserError(f"takes={config.takes[k]}: other items than {manifest}")
            for join, joined in joined_takes(tracks, takes).items():
                rows.append(ratio_row(f"{name}, {join}", compare_borders(joined)))
        row = sync_row(name, samples, path.parent, config.tolerance_s)
        if row:
            sync.append(row)
    return markdown_table(HEADS, rows) + ("\n" + markdown_table(SYNC_HEADS, sync) if sync else "")


def ratio_row(name: str, ratio: BorderRatio) -> list[str]:
    """Return a row of the table with its verdict."""
    verdict = "smooth" if ratio.is_smooth else "borders" if ratio.is_found else "undecided"
    if ratio.num_borders < MIN_BORDERS:
        verdict += f", fewer than {MIN_BORDERS} borders"
    counts = [str(ratio.num_tracks), str(ratio.num_borders), str(ratio.num_left_out)]
    return [name, *counts, *_ratios(ratio), verdict]


def _ratios(ratio: BorderRatio) -> list[str]:
    return [
        f"{median:.2f} [{low:.2f}, {high:.2f}]"
        for median, low, high in zip(ratio.medians, ratio.lows, ratio.highs, strict=True)
    ]


def _read(path: Path) -> list[Sample]:
    try:
        return read_manifest(path)
    except ValueError as error:
        raise UserError(str(error)) from error


def main(argv: list[str]) -> None:
    """Print the tables, and write them if `out` is set."""
    config = from_command_line(WindowBordersConfig, argv, __doc__)
    if config is None:
        return
    try:
        text = test_generated(config) if config.manifests else try_on_truth(config)
    except ValueError as error:
        raise UserError(str(error)) from error
    print(f"ratios of smooth audio lie inside [{BOUNDS[0]}, {BOUNDS[1]}]\n\n{text}", end="")
    if config.out:
        Path(config.out).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_command(main))
