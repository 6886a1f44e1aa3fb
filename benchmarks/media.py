"""Time the reader next to torchcodec and decord: `python -m benchmarks.media out=runs/bench/media.json`.

Decodes clips, resizes them and delivers uint8 batches [T, C, H, W], at equal output: the frames of each
library are compared with the reader's before anything is timed; the table has the largest difference.
Videos are made by ffmpeg: a test pattern in H.264, with a key frame each second, and B-frames. Numbers are
seconds of wall time per 100 frames, the minimum over `repeats` passes.

- `complete`: all frames of the video in order, at its own size.
- `resized`: the same, resized to `size` lines (bicubic, antialiased, torchvision for all).
- `clips`: `num_clips` stretches of `clip_frames` frames at random starts, each opened again.

With two threads the libraries decode with two threads; the reader decodes with one, and reads two videos in
two processes instead, as preparation does. A library that cannot be used is left out and named.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
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

from benchmarks.record import BenchmarkRecord, Numbers
from src.core import cli, config
from src.core.fields import Config, opt
from src.core.markdown import markdown_table
from src.core.media_io.video_reader import open_video
from src.core.rng import numpy_generator

LIBRARIES = ("media_io", "torchcodec", "decord")
TASKS = ("complete", "resized", "clips")


@dataclass(frozen=True, kw_only=True)
class MediaBenchConfig(Config):
    """Videos, tasks and repetitions."""

    out: str = opt("runs/bench/media.json", "results file; a benchmark that was interrupted continues")
    sizes: tuple[str, ...] = opt(("640x360", "1920x1080"), "sizes of the videos, WIDTHxHEIGHT")
    seconds: int = opt(8, "length of each video", ge=1)
    fps: int = opt(25, "frames per second", ge=1)
    size: int = opt(256, "lines of the resized frames", ge=8)
    num_clips: int = opt(8, "stretches of the task clips", ge=1)
    clip_frames: int = opt(16, "frames of a stretch", ge=1)
    threads: tuple[int, ...] = opt((1, 2), "numbers of threads")
    repeats: int = opt(3, "passes, of which the fastest counts", ge=1)


def write_video(path: Path, size: str, settings: MediaBenchConfig) -> None:
    """Write a test pattern with a key frame each second."""
    source = f"testsrc2=s={size}:r={settings.fps}:d={settings.seconds}"
    encoder = ("-c:v", "libx264", "-preset", "veryfast", "-g", settings.fps, "-bf", 2, "-pix_fmt", "yuv420p")
    command = [
        get_ffmpeg_exe(),
        "-y",
        "-loglevel",
        "error",
        "-f",
        "lavfi",
        "-i",
        source,
        *map(str, encoder),
        path,
    ]
    subprocess.run(command, check=True)


def read_media_io(path: str, start: int, count: int | None, fps: float, threads: int) -> Tensor:
    """Return frames, uint8 [T, C, H, W], from frame number `start` on."""
    with open_video(path) as video:
        frames = islice(video.frames(start / fps), count)
        return torch.from_numpy(np.stack([frame.rgb_HWC for frame in frames])).permute(0, 3, 1, 2)


def read_torchcodec(path: str, start: int, count: int | None, fps: float, threads: int) -> Tensor:
    """See `read_media_io`."""
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(path, num_ffmpeg_threads=threads, seek_mode="approximate")
    stop = len(decoder) if count is None else start + count
    return decoder.get_frames_in_range(start, stop).data


def read_decord(path: str, start: int, count: int | None, fps: float, threads: int) -> Tensor:
    """See `read_media_io`."""
    import decord

    reader = decord.VideoReader(path, num_threads=threads)
    stop = len(reader) if count is None else start + count
    frames = reader.get_batch(range(start, stop)).asnumpy()
    return torch.from_numpy(frames).permute(0, 3, 1, 2)


READERS: dict[str, Callable[[str, int, int | None, float, int], Tensor]] = {
    "media_io": read_media_io,
    "torchcodec": read_torchcodec,
    "decord": read_decord,
}


def run_task(library: str, task: str, path: str, settings: MediaBenchConfig, threads: int) -> int:
    """Do a task once and return its number of frames."""
    read, fps, total = READERS[library], float(settings.fps), settings.fps * settings.seconds
    if task != "clips":
        frames_TCHW = read(path, 0, None, fps, threads)
        if task == "resized":
            for chunk_TCHW in frames_TCHW.split(16):
                resize(chunk_TCHW, [settings.size], antialias=True)
        return len(frames_TCHW)
    starts = numpy_generator(0, "benchmarks.media").integers(
        0, total - settings.clip_frames, settings.num_clips
    )
    for start in starts:
        read(path, int(start), settings.clip_frames, fps, threads)
    return settings.num_clips * settings.clip_frames


def _run_in_process(arguments: tuple[Any, ...]) -> int:
    torch.set_num_threads(1)
    return run_task(*arguments)


def measure(library: str, task: str, path: str, settings: MediaBenchConfig, threads: int) -> Numbers:
    """Return seconds per 100 frames, the minimum over the passes."""
    torch.set_num_threads(threads)
    best, arguments = float("inf"), (library, task, path, settings, threads)
    if library == "media_io" and threads > 1:
        with ProcessPoolExecutor(threads, get_context("forkserver")) as pool:
            list(pool.map(_run_in_process, [arguments] * threads))  # starts the processes
            for _ in range(settings.repeats):
                start = time.perf_counter()
                num_frames = sum(pool.map(_run_in_process, [arguments] * threads))
                best = min(best, (time.perf_counter() - start) / num_frames)
        return {"seconds_per_100_frames": 100 * best}
    for _ in range(settings.repeats + 1):  # the first pass warms up
        start = time.perf_counter()
        num_frames = run_task(*arguments)
        best = min(best, (time.perf_counter() - start) / num_frames)
    return {"seconds_per_100_frames": 100 * best}


def difference(library: str, path: str, settings: MediaBenchConfig) -> int:
    """Return the largest difference of a library's frames from the reader's; -1 for other shapes."""
    total = settings.fps * settings.seconds
    expected, found = (
        READERS[name](path, 0, total, float(settings.fps), 1) for name in ("media_io", library)
    )
    if expected.shape != found.shape:
        return -1
    return max(int((a.int() - b.int()).abs().max()) for a, b in zip(expected, found, strict=True))


def is_usable(library: str, path: str) -> bool:
    """True if a library can be imported, finds the libraries that it needs, and decodes a frame."""
    try:
        READERS[library](path, 0, 1, 1.0, 1)
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
        for size, library in product(settings.sizes, libraries):
            largest = difference(library, paths[size], settings)
            for task, threads in product(TASKS, settings.threads):
                case = f"{size}/{task}/{threads}/{library}"
                if case not in record.runs:
                    numbers = measure(library, task, paths[size], settings, threads)
                    record.add(case, {**numbers, "max_difference": largest})
    print(table(record))


if __name__ == "__main__":
    sys.exit(cli.run(main))
