"""Time and memory of curation: `python -m benchmarks.curation [key=value ...]`.

Renders `num_rendered` clips with audio, copies them up to `num_clips` files, and scores all with the funnel
of configs/curation/small.yaml. Prints seconds, clips per second, the largest sum of memory (RSS) of all
processes, and the time of each step on one core. Re-run an interrupted command to continue: the
seconds of all its runs are added up in seconds.json.
"""

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from src.core import cli, config
from src.core.fields import Config, opt
from src.core.markdown import markdown_table


@dataclass(frozen=True, kw_only=True)
class CurationBenchConfig(Config):
    """Number and form of the clips."""

    out: str = opt("runs/bench_curation", "folder to write: pool and curated")
    num_clips: int = opt(1000, "clips to curate", ge=1)
    num_rendered: int = opt(16, "different clips; the others are copies of them", ge=1)
    seconds: float = opt(5.0, "length of a clip", gt=0)
    fps: float = opt(24.0, "frames per second", gt=0)
    size: int = opt(256, "height and width in pixels", ge=64)
    num_workers: int = opt(2, "processes", ge=0)
    num_timed: int = opt(10, "clips that the steps are timed on", ge=1)


def main(argv: list[str]) -> None:
    """Parse the command line, make the pool and curate it."""
    settings = config.from_command_line(CurationBenchConfig, argv, __doc__)
    if settings is None:
        return
    from data.curation.config import CurationConfig
    from data.curation.run import curate

    pool, out = Path(settings.out) / "pool", Path(settings.out) / "curated"
    make_pool(pool, settings)
    words = [f"path={pool}", f"out={out}", f"num_workers={settings.num_workers}"]
    funnel = config.load(CurationConfig, "configs/curation/small.yaml", words)
    with PeakMemory() as peak, added_seconds(Path(settings.out) / "seconds.json") as seconds:
        curate(funnel, Console())
    total = seconds["total"]
    print(
        f"{settings.num_clips} clips of {settings.seconds:g} s at {settings.size}x{settings.size}, "
        f"{settings.num_workers} processes: {total:.0f} s, {settings.num_clips / total:.2f} clips/s, "
        f"{peak.bytes / 2**30:.2f} GB"
    )
    print(step_table(pool, min(settings.num_timed, settings.num_clips)))


@contextmanager
def added_seconds(path: Path) -> Iterator[dict[str, float]]:
    """Yield seconds by run; on leaving, also by an interruption, this run's are added and written."""
    seconds = json.loads(path.read_text()) if path.is_file() else {"total": 0.0}
    start = time.monotonic()
    try:
        yield seconds
    finally:
        seconds["total"] += time.monotonic() - start
        path.write_text(json.dumps(seconds) + "\n")


def step_table(pool: Path, num_timed: int) -> str:
    """Return CPU seconds per clip of each step, and its share, on one core."""
    from data.curation import scorer
    from data.curation.clip_reader import read_clip, read_mono
    from data.curation.config import ScoringConfig
    from data.curation.score_table import GROUPS
    from data.curation.workers import limit_threads

    limit_threads()
    config, times = ScoringConfig(), dict[str, float]()

    def timed(step: str, work: Callable[..., Any], *arguments: Any) -> Any:
        start = time.process_time()
        found = work(*arguments)
        times[step] = times.get(step, 0.0) + time.process_time() - start
        return found

    visual = [name for name in GROUPS if name not in ("audio", "aesthetics")]  # aesthetics need a network
    for number in (0, *range(num_timed)):
        if len(times) and number == 0:
            times.clear()  # the first clip was for loading networks
        path = pool / f"clip{number:05d}.mp4"
        row = timed("header", scorer.score_header, pool, scorer.Clip(path.name, path.name))
        frames = timed("decode, VMAF motion", read_clip, path, 0, row["end_s"], row["fps"], config)
        for group in visual:
            timed(group, scorer.score_frames, frames, replace(config, groups=(group,)))
        mono_S = timed("decode audio", read_mono, path, 0, row["end_s"])
        timed("audio", scorer.score_audio, mono_S)
        timed("preview", scorer.draw_preview, frames.stills_THWC)
    total = sum(times.values())
    cells = [(name, f"{t / num_timed:.3f}", f"{100 * t / total:.0f} %") for name, t in times.items()]
    cells.append(("all", f"{total / num_timed:.3f}", "100 %"))
    return markdown_table(["step", "CPU s per clip", "share"], cells)


def make_pool(pool: Path, settings: CurationBenchConfig) -> None:
    """Render the clips that are missing, and copy them up to the number of clips."""
    pool.mkdir(parents=True, exist_ok=True)
    for number in range(settings.num_clips):
        path = pool / f"clip{number:05d}.mp4"
        if path.is_file():
            continue
        if number < settings.num_rendered:
            _render(path, number, settings)
        else:
            shutil.copyfile(pool / f"clip{number % settings.num_rendered:05d}.mp4", path)


def _render(path: Path, number: int, settings: CurationBenchConfig) -> None:
    import numpy as np

    from data.curation.truth.scenes import add_noise, make_background, make_object, render
    from data.curation.truth.trajectories import LABELS, make_camera
    from src.core.media_io.audio import Audio
    from src.core.media_io.video_writer import write_video
    from src.core.rng import numpy_generator

    rng = numpy_generator(number, "bench/curation")
    count = round(settings.seconds * settings.fps)
    planes = [make_background(rng, count)]
    planes += [make_object(rng, count, depth, 0.3, 0.01) for depth in (4.0, 3.0, 2.0)]
    camera = make_camera(rng, LABELS[number % len(LABELS)], count, settings.fps, 0.5)
    frames = add_noise(render(planes, camera, settings.size, settings.size), rng, 2.0)
    samples = rng.normal(0, 0.1, (1, round(settings.seconds * 48_000))).astype(np.float32)
    write_video(path, frames, settings.fps, crf=20, audio=Audio(samples, 48_000))


class PeakMemory:
    """Largest sum of resident memory of this process and its children, sampled every half second."""

    def __init__(self) -> None:
        self.bytes = 0
        self._stop = threading.Event()

    def __enter__(self) -> "PeakMemory":
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            self.bytes = max(self.bytes, resident_bytes())


def resident_bytes() -> int:
    """Return the sum of resident memory of this process and all its descendants (Linux)."""
    children: dict[int, list[int]] = {}
    sizes = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            pages = int((folder / "statm").read_text().split()[1])
        except (OSError, IndexError):  # it has ended
            continue
        sizes[int(folder.name)] = pages * os.sysconf("SC_PAGE_SIZE")
        children.setdefault(parent, []).append(int(folder.name))
    waiting, total = [os.getpid()], 0
    while waiting:
        each = waiting.pop()
        total += sizes.get(each, 0)
        waiting += children.get(each, [])
    return total


if __name__ == "__main__":
    sys.exit(cli.run(main))
