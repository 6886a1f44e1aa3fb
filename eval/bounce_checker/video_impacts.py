"""Read impacts of Bounce videos in their pixels: `python -m eval.bounce_checker.video_impacts manifest=FILE`.

An impact is where the path of an object turns (`motion.fit_motion`). For the videos of a manifest with facts,
such as those that `python -m src.reconstruct run=TAE data=DATASET/val manifests=true` writes, a table says
how many of the facts' impacts are read, and how exactly, from the videos and their originals (`reference`).
Impacts closer than a segment of a path, or so close to its beginning or end, are not read.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.alignment.onsets import match_onsets, merge_close_times
from eval.bounce_checker.audio_trials import distinct_impacts
from eval.bounce_checker.checker import analyze_video
from eval.core.manifest import Sample, read_manifest
from eval.core.video import read_video
from src.core.atomic import atomic_write
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import Config, opt
from src.core.markdown import markdown_table
from src.core.progress import progress

HEADS = ("videos", "number", "impacts", "precision", "recall", "F1", "within {fine:.0f} ms, % of matched",
         "median of lags, ms")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class VideoImpactsConfig(Config):
    """Settings of `eval.bounce_checker.video_impacts`."""

    manifest: str = opt("???", "manifest of videos with facts")
    id_prefix: str = opt("", "only samples whose id begins so")
    num: int = opt(0, "samples at most; 0: all", ge=0)
    tolerance_s: float = opt(0.1, "largest distance of a read impact from one of the facts", gt=0)
    fine_tolerance_s: float = opt(0.02, "distance within which a reading is exact", gt=0)
    out: str = opt("", "Markdown file; empty writes none")


def read_impacts(path: Path) -> np.ndarray:
    """Return the seconds of the impacts in a video, ascending; those close after another are left out."""
    video = read_video(path)
    reading = analyze_video(video.frames_THWC, video.fps)
    times = np.array(sorted(time for each in reading.objects for time in each.impacts_s), float)
    return merge_close_times(times)


def table_row(
    name: str, pairs: list[tuple[np.ndarray, np.ndarray]], settings: VideoImpactsConfig
) -> list[str]:
    """Return a row of the table from the times read and those of the facts, one pair for each video."""
    lags: list[float] = []
    for read, expected in pairs:
        matches = match_onsets(read, expected, settings.tolerance_s)
        lags += [float(read[i] - expected[j]) for i, j in matches]
    num_read, num_expected = (sum(len(pair[k]) for pair in pairs) for k in (0, 1))
    fine = float(np.mean(np.abs(lags) <= settings.fine_tolerance_s)) if lags else float("nan")
    middle = 1000 * float(np.median(lags)) if lags else float("nan")
    parts = ((len(lags), num_read), (len(lags), num_expected), (2 * len(lags), num_read + num_expected))
    scores = [f"{top / bottom:.3f}" if bottom else "-" for top, bottom in parts]
    return [name, str(len(pairs)), str(num_expected), *scores, f"{100 * fine:.1f}", f"{middle:+.1f}"]


def measure(settings: VideoImpactsConfig) -> str:
    """Return the table of a manifest.

    Raises:
        UserError: no videos with facts.
    """
    path = Path(settings.manifest)
    try:
        samples = [
            s for s in read_manifest(path) if s.video and s.facts and s.id.startswith(settings.id_prefix)
        ]
    except ValueError as error:
        raise UserError(str(error)) from error
    samples = samples[: settings.num or None]
    if not samples:
        raise UserError(
            f"manifest={path}: no videos with facts; reconstruct or generate for a Bounce data set"
        )
    rows: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    with progress("videos", len(samples)) as done:
        for sample in samples:
            expected = np.array([time for time, _ in distinct_impacts(sample.facts or {})], float)
            for name, file in _files(sample).items():
                rows.setdefault(name, []).append((read_impacts(path.parent / file), expected))
            done(1)
    heads = tuple(head.format(fine=1000 * settings.fine_tolerance_s) for head in HEADS)
    title = f"{path}, tolerance {1000 * settings.tolerance_s:.0f} ms"
    return f"{title}\n\n{markdown_table(heads, [table_row(*row, settings) for row in rows.items()])}"


def _files(sample: Sample) -> dict[str, str]:
    files = {"reference": sample.reference, "video": sample.video}
    return {name: str(file) for name, file in files.items() if file}


def main(argv: list[str]) -> None:
    """Print the table, and write it if `out` is set."""
    settings = from_command_line(VideoImpactsConfig, argv, __doc__)
    if settings is None:
        return
    text = measure(settings)
    print(text, end="")
    if settings.out:
        with atomic_write(Path(settings.out)) as temporary:
            temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_command(main))
