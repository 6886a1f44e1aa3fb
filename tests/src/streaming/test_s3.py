"""Streams from a real S3 server, also through the command line and when it dies in the middle of an epoch."""

import json
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from litdata import StreamingDataset
from litdata.streaming import downloader

from src import train
from src.streaming.config import DataConfig, StorageConfig, StreamConfig
from src.streaming.media_loaders import MediaLoaders
from src.streaming.schema.bucket import DataError
from tests.fixtures.object_store import ObjectStore, start_or_skip
from tests.fixtures.toy_data import write_pixels

pytestmark = pytest.mark.services
RUN = """
experiment: tae
name: toy
dataset: unused
model: {channels: [8, 8], patch: 2, spatial_down: [2], temporal_down: [2], num_blocks: 1, norm: layer,
  latent_channels: 4}
data:
  streams:
    videos: {path: gone, media: videos, weight: 2, batch_size: 4}
    images: {path: gone, media: images, batch_size: 4}
train: {max_steps: 6, warmup_steps: 1, log_every: 1, checkpoint_every: 3, precision: fp32, val_every: 100,
  sample_every: 100}
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    write_pixels(tmp_path / "store" / "bucket" / "set", {(4, 32, 32): 90, (1, 32, 32): 30})
    server = start_or_skip(tmp_path / "store")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    yield server
    server.kill()


def loaders(tmp_path: Path, path: str, *, workers: int = 0, **options) -> MediaLoaders:
    settings = {"cache_dir": str(tmp_path / "cache"), "patience_s": 60.0, **options}
    streams = {"v": StreamConfig(path=path, media="videos", batch_size=6)}
    storage = StorageConfig(**settings)
    data = DataConfig(streams=streams, num_workers=workers, shuffle_chunks=1, storage=storage)
    return MediaLoaders(data, 1, num_steps=15)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_the_server_dies_and_comes_back_in_the_middle_of_an_epoch(
    store: ObjectStore, tmp_path: Path, workers: int
) -> None:
    local = [b.ids for b in loaders(tmp_path, str(store.root / "bucket" / "set")).train_dataloader()]
    loader = loaders(tmp_path, "s3://bucket/set", workers=workers, steps_ahead=1).train_dataloader()
    found = []
    for batch in loader:
        found.append(batch.ids)
        if batch.step == 4:
            store.kill()
            threading.Timer(2.0, store.start).start()
        if batch.step == 9:
            break
    held = len(list((tmp_path / "cache").rglob("*.bin")))
    assert held < 9  # the rest of the epoch has to be downloaded after a resume
    resumed = loaders(tmp_path, "s3://bucket/set", workers=workers).train_dataloader()
    resumed.load_state_dict({"step": 10})
    assert found + [b.ids for b in resumed] == local


def test_a_server_that_stays_away_is_named(store: ObjectStore, tmp_path: Path) -> None:
    loader = loaders(tmp_path, "s3://bucket/set", steps_ahead=1, patience_s=1.0).train_dataloader()
    store.kill()
    started = time.monotonic()
    with pytest.raises(
        DataError, match=r"s3://bucket/set/4x32x32/chunk-\d-0.bin: cannot be downloaded"
    ) as error:
        list(loader)
    assert "\n" not in str(error.value)
    assert time.monotonic() - started < 60


def test_what_is_missing_is_named_at_once(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"s3://bucket/none/dataset.json: cannot be downloaded \(1 attempts"):
        loaders(tmp_path, "s3://bucket/none").train_dataloader()
    (store.root / "bucket" / "set" / "4x32x32" / "chunk-1-0.bin").unlink()
    with pytest.raises(DataError, match=r"chunk-1-0.bin: cannot be downloaded \(1 attempts.*404"):
        list(loaders(tmp_path, "s3://bucket/set").train_dataloader())


def test_trains_through_the_command_line(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text(RUN)
    losses = []
    for path in (str(store.root / "bucket" / "set"), "s3://bucket/set"):
        run_dir = tmp_path / f"run{len(losses)}"
        paths = [f"data.streams.{name}.path={path}" for name in ("videos", "images")]
        cache = f"data.storage.cache_dir={tmp_path / 'cache'}"
        train.main([str(tmp_path / "toy.yaml"), f"run_dir={run_dir}", cache, *paths])
        rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
        losses.append([row["train/loss"] for row in rows if "train/loss" in row])
    assert losses[0] == losses[1]
    assert len(losses[0]) == 6


def test_plain_litdata_reads_it(store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # obstore, which LitData prefers for chunks, refuses plain http; a store with https needs no such line
    monkeypatch.setattr(downloader, "_OBSTORE_AVAILABLE", False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = StreamingDataset("s3://bucket/set/4x32x32", cache_dir=str(tmp_path / "litdata"))
        found = sorted(json.loads(item["meta"])["id"] for item in dataset)
    assert found == [f"4x32x32/{i:04d}" for i in range(90)]
