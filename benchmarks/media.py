"""Time the reader next to torchcodec and decord: `python -m benchmarks.media out=runs/bench/media.json`.

Decodes clips, resizes them and delivers uint8 batches [T, C, H, W], at equal output: the frames of each
library are compared with the reader's before anything is timed; the table has the largest difference.
Videos are made by ffmpeg: a test pattern in H.264, with a key frame each second, B-frames and tagged colors.
Numbers are seconds of wall time per 100 frames, the minimum over `repeats` passes; the libraries take turns.

- `complete`: all frames of the video in order, at its own size, in one batch.
- `resized`: the same in batches of `clip_frames`, resized to `size` lines (antialiased, by torchvision).
- `clips`: `num_clips` stretches of `clip_frames` frames at random starts, each opened again.

With two threads the libraries decode with two threads; the reader decodes with one, and reads two videos in
two processes instead, as preparation does. A library that cannot be used is left out and named.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from itertools import islice, product
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from imageio_ffmpeg import get_ffmpeg_exe
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from benchmarks.record import BenchmarkRecord
from src.core import cli, config
from src.core.fields import Config, opt
from src.core.markdown import markdown_table
from src.core.media_io.frames import Frame
from src.core.media_io.video_reader import open_video
from src.core.rng import numpy_generator

LIBRARIES = ("media_io", "torchcodec", "decord")
TASKS = ("complete", "resized", "clips")


@dataclass(frozen=True, kw_only=True)
class MediaBenchConfig(Config):
    """Videos, tasks and repetitions."""

    out: str = opt("runs/bench/media.json", "results file; a benchmark that was interrupted continues")
    sizes: tuple[str, ...] = opt(("640x360", "1920x1080"), "sizes of the videos, WIDTHxHEIGHT")
    seconds: int = opt(4, "length of each video", ge=1)
    fps: int = opt(25, "frames per second", ge=1)
    size: int = opt(256, "lines of the resized frames", ge=8)
    num_clips: int = opt(8, "stretches of the task clips", ge=1)
    clip_frames: int = opt(16, "frames of a stretch", ge=1)
    threads: tuple[int, ...] = opt((1, 2), "numbers of threads")
    repeats: int = opt(3, "passes, of which the fastest counts", ge=1)


def write_video(path: Path, size: str, settings: MediaBenchConfig) -> None:
    """Write a test pattern with a key frame each second."""
    matrix = "bt709" if int(size.split("x")[1]) >= 720 else "smpte170m"
    tags = f"setparams=colorspace={matrix}:color_primaries=bt709:color_trc=bt709:range=tv"
    source = f"testsrc2=s={size}:r={settings.fps}:d={settings.seconds},format=yuv420p,{tags}"
    encoder = f"-c:v libx264 -preset veryfast -g {settings.fps} -bf 2".split()
    command = [
        get_ffmpeg_exe(),
        *["-y", "-loglevel", "error", "-f", "lavfi", "-i"],
        source,
        *encoder,
        str(path),
    ]
    subprocess.run(command, check=True)


class MediaIo:
    """Reads frames, uint8 [T, C, H, W], from frame number `start` on; one pass if calls follow each other."""

    def __init__(self, path: str, fps: float, threads: int) -> None:
        self._stack = ExitStack()
        self._video, self._fps = self._stack.enter_context(open_video(path)), fps
        self._frames: Iterator[Frame] = iter(())
        self._next = -1

    def __call__(self, start: int, count: int) -> Tensor:
        if start != self._next:
            self._frames = self._video.frames(start / self._fps)
        self._next = start + count
        frames_THWC = np.empty(0, np.uint8)
        for n, frame in enumerate(islice(self._frames, count)):
            if not n:
                frames_THWC = np.empty((count, *frame.rgb_HWC.shape), np.uint8)
            frames_THWC[n] = frame.rgb_HWC
        return torch.from_numpy(frames_THWC).permute(0, 3, 1, 2)

    def close(self) -> None:
        self._stack.close()


class TorchCodec:
    """See `MediaIo`."""

    def __init__(self, path: str, fps: float, threads: int) -> None:
        from torchcodec.decoders import VideoDecoder

        self._decoder = VideoDecoder(path, num_ffmpeg_threads=threads, seek_mode="approximate")

    def __call__(self, start: int, count: int) -> Tensor:
        return self._decoder.get_frames_in_range(start, start + count).data

    def close(self) -> None:
        pass


class Decord:
    """See `MediaIo`."""

    def __init__(self, path: str, fps: float, threads: int) -> None:
        import decord

        self._reader = decord.VideoReader(path, num_threads=threads)

    def __call__(self, start: int, count: int) -> Tensor:
        frames = self._reader.get_batch(range(start, start + count)).asnumpy()
        return torch.from_numpy(frames).permute(0, 3, 1, 2)

    def close(self) -> None:
        pass


READERS: dict[str, Any] = {"media_io": MediaIo, "torchcodec": TorchCodec, "decord": Decord}


def run_task(library: str, task: str, path: str, settings: MediaBenchConfig, threads: int) -> int:
    """Do a task once and return its number of frames."""
    fps, total = float(settings.fps), settings.fps * settings.seconds
    if task == "clips":
        random = numpy_generator(0, "benchmarks.media")
        starts = random.integers(0, total - settings.clip_frames, settings.num_clips)
        stretches = [[(int(start), settings.clip_frames)] for start in starts]
    elif task == "resized":
        edges = range(0, total, settings.clip_frames)
        stretches = [[(start, min(settings.clip_frames, total - start)) for start in edges]]
    else:
        stretches = [[(0, total)]]
    num_frames = 0
    for stretches_of_opening in stretches:
        with closing(READERS[library](path, fps, threads)) as read:
            for start, count in stretches_of_opening:
                frames_TCHW = read(start, count)
                num_frames += len(frames_TCHW)
                if task == "resized":
                    resize(frames_TCHW, [settings.size], antialias=True)
    return num_frames


def _run_in_process(arguments: tuple[Any, ...]) -> int:
    torch.set_num_threads(1)
    return run_task(*arguments)


def measure(
    libraries: list[str], task: str, path: str, settings: MediaBenchConfig, threads: int
) -> dict[str, float]:
    """Return seconds per 100 frames of each library, the minimum over the passes."""
    torch.set_num_threads(threads)
    best = dict.fromkeys(libraries, float("inf"))
    with ProcessPoolExecutor(threads, get_context("forkserver")) as pool:
        for number in range(settings.repeats + 1):
            for library in libraries:
                arguments = (library, task, path, settings, threads)
                start = time.perf_counter()
                if library == "media_io" and threads > 1:
                    num_frames = sum(pool.map(_run_in_process, [arguments] * threads))
                else:
                    num_frames = run_task(*arguments)
                if number:  # the first pass warms up
                    best[library] = min(best[library], 100 * (time.perf_counter() - start) / num_frames)
    return best


def difference(library: str, path: str, settings: MediaBenchConfig) -> int:
    """Return the largest difference of a library's frames from the reader's; -1 for other shapes."""
    total = settings.fps * settings.seconds
    expected, found = (
        READERS[name](path, float(settings.fps), 1)(0, total) for name in ("media_io", library)
    )
    if expected.shape != found.shape:
        return -1
    return max(int((a.int() - b.int()).abs().max()) for a, b in zip(expected, found, strict=True))


def is_usable(library: str, path: str) -> bool:
    """True if a library can be imported, finds the libraries that it needs, and decodes a frame."""
    try:
        READERS[library](path, 1.0, 1)(0, 1)
    except (ImportError, OSError, RuntimeError):
        return False
    return True


def table(record: BenchmarkRecord) -> str:
    """Return the results as a Markdown table."""
    rows = []
    for case, numbers in record.minimum().items():
        size, task, threads, library = case.split("/")
        cells = [size, task, threads, library, f"{numbers['seconds_per_100_frames']:.3f}"]
        rows.append([*cells, str(numbers["max_difference"])])
    return markdown_table(["video", "task", "threads", "library", "s / 100 frames", "max. difference"], rows)


def main(argv: list[str]) -> None:
    """Measure what is missing in the results file and print the table."""
    settings = config.from_command_line(MediaBenchConfig, argv, __doc__)
    if settings is None:
        return
    fixed = {key: value for key, value in asdict(settings).items() if key != "out"}
    with TemporaryDirectory() as folder:
        paths = {size: str(Path(folder) / f"{size}.mp4") for size in settings.sizes}
        for size, path in paths.items():
            write_video(Path(path), size, settings)
        libraries = [name for name in LIBRARIES if is_usable(name, paths[settings.sizes[0]])]
        if missing := sorted(set(LIBRARIES) - set(libraries)):
            print(f"left out, cannot be used here: {', '.join(missing)}")
        packages = ("av", *(name for name in libraries if name != "media_io"))
        record = BenchmarkRecord.open(settings.out, fixed, packages)
        for size in settings.sizes:
            largest = {library: difference(library, paths[size], settings) for library in libraries}
            for task, threads in product(TASKS, settings.threads):
                cases = {library: f"{size}/{task}/{threads}/{library}" for library in libraries}
                if all(case in record.runs for case in cases.values()):
                    continue
                for library, seconds in measure(libraries, task, paths[size], settings, threads).items():
                    numbers = {"seconds_per_100_frames": seconds, "max_difference": largest[library]}
                    record.add(cases[library], numbers)
    print(table(record))


if __name__ == "__main__":
    sys.exit(cli.run(main))
