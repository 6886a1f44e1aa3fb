"""Time the start and draws of a set of millions of chunks: `python -m benchmarks.streaming_index`.

The index is synthetic: directories with tables of chunks that do not exist. Start: open the data set and
build the order, until the first batch of a rank is drawn. Draws: of consecutive steps, and of steps at random
positions of several epochs; the median and the slowest of each. Imports are not counted.
"""

import hashlib
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from src.core import cli, config
from src.core.fields import Config, opt
from src.core.markdown import markdown_table
from src.streaming.config import DataConfig, StreamConfig
from src.streaming.media_loaders import MediaLoaders
from src.streaming.schema.chunk_table import TABLE, chunk_name, table_bytes
from src.streaming.schema.dataset_index import (
    MAX_CHUNKS,
    BucketInfo,
    ChunkInfo,
    DatasetInfo,
    ShardInfo,
    write_json,
)

BUCKET = "16x32x32"
CASES = ((1, 1), (1, 256), (256, 32), (256, 256))  # virtual shards, ranks


@dataclass(frozen=True, kw_only=True)
class IndexBenchConfig(Config):
    """Size of the data set, and the ranks."""

    chunks: int = opt(2_000_000, "chunks of the data set", ge=MAX_CHUNKS + 1)
    records: int = opt(500, "records of a chunk, on average", ge=2)
    batch_size: int = opt(2048, "samples in the global batch", ge=1)
    draws: int = opt(200, "steps of each kind", ge=1)


def write_index(root: Path, settings: IndexBenchConfig) -> None:
    """Write a data set's index without its chunks; chunks have records - 1 to records + 1 each, in turn."""
    num_shards = settings.chunks // MAX_CHUNKS
    records = settings.records + np.resize([-1, 0, 1], MAX_CHUNKS)
    chunks = [ChunkInfo("", int(n), 64 << 20, "ab" * 32) for n in records]
    table = table_bytes(chunks)
    entries = [{"filename": chunk_name(i), "chunk_size": int(n)} for i, n in enumerate(records)]
    shards = []
    for number in range(num_shards):
        folder = root / BUCKET / f"{number:05d}"
        folder.mkdir(parents=True)
        (folder / TABLE).write_bytes(table)
        digest = hashlib.sha256(table).hexdigest()
        shards.append(ShardInfo(folder.name, MAX_CHUNKS, int(records.sum()), MAX_CHUNKS * (64 << 20), digest))
    write_json(root / BUCKET / "00000" / "index.json", {"chunks": entries, "config": {"data_spec": ""}})
    DatasetInfo(kind="pixels", key="k", buckets={BUCKET: BucketInfo(shards=tuple(shards))}).write(root)


def measure(root: Path, settings: IndexBenchConfig, virtual_shards: int, world_size: int) -> list[str]:
    """Return a row of the table."""
    stream = StreamConfig(path=str(root), batch_size=settings.batch_size)
    data = DataConfig(streams={"videos": stream}, virtual_shards=virtual_shards)
    started = time.perf_counter()
    loaders = MediaLoaders(data, 0, num_steps=10**6, rank=world_size // 2, world_size=world_size)
    sampler = loaders.train_dataloader().dataset.sampler
    sampler.batch_at(0, world_size // 2, world_size)
    start = time.perf_counter() - started
    choose = random.Random(0)
    last = 3 * settings.chunks * settings.records // settings.batch_size
    cells = []
    for steps in (range(settings.draws), [choose.randrange(last) for _ in range(settings.draws)]):
        times = []
        for step in steps:
            begin = time.perf_counter()
            sampler.batch_at(step, world_size // 2, world_size)
            times.append(1000 * (time.perf_counter() - begin))
        cells += [f"{np.median(times):.2f}", f"{max(times):.2f}"]
    return [str(world_size), str(virtual_shards), f"{start:.2f}", *cells]


def main(argv: list[str]) -> None:
    """Write the index, measure and print the table."""
    settings = config.from_command_line(IndexBenchConfig, argv, __doc__)
    if settings is None:
        return
    with TemporaryDirectory() as folder:
        root = Path(folder) / "set"
        write_index(root, settings)
        rows = [measure(root, settings, shards, ranks) for shards, ranks in CASES]
    head = ["ranks", "virtual shards", "start, s", "next step, ms", "slowest", "random step, ms", "slowest"]
    print(markdown_table(head, rows))


if __name__ == "__main__":
    sys.exit(cli.run(main))
