"""Chunks from a store: the same batches, downloaded once, bounded, and every fault named in one line."""

import os
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from litdata.streaming import downloader as litdata_downloader

from src.streaming.chunk_cache import ChunkCache
from src.streaming.config import DataConfig, StorageConfig, StreamConfig
from src.streaming.media_loaders import MediaLoaders
from src.streaming.reader import Dataset
from src.streaming.schema.bucket import DataError
from src.streaming.storage import Storage
from tests.fixtures.http_store import HTTPStore
from tests.fixtures.toy_data import write_pixels

CHUNK = "chunk-1-0.bin"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 images in four chunks. Read only."""
    return write_pixels(tmp_path_factory.mktemp("images") / "set", {(1, 8, 8): 40})


@pytest.fixture
def store(images: Path) -> Iterator[HTTPStore]:
    with HTTPStore(images) as server:
        yield server


def storage(tmp_path: Path, **options) -> StorageConfig:
    return StorageConfig(cache_dir=str(tmp_path / "cache"), **{"patience_s": 2.0, **options})


def ids(path: str, config: StorageConfig, start: int = 0) -> list[str]:
    data = DataConfig(streams={"v": StreamConfig(path=path, batch_size=4)}, storage=config, shuffle_chunks=2)
    loader = MediaLoaders(data, 3, num_steps=20).train_dataloader()
    loader.load_state_dict({"step": start})
    return [name for batch in loader for name in batch.ids]


def test_batches_are_those_of_the_directory_and_each_chunk_is_downloaded_once(
    images: Path, store: HTTPStore, tmp_path: Path
) -> None:
    local = ids(str(images), StorageConfig())
    assert ids(store.address, storage(tmp_path)) == local
    assert ids(store.address, storage(tmp_path), start=7) == local[28:]  # resumed: chunks are still here
    chunks = {name: n for name, n in store.requests.items() if name.endswith(".bin")}
    assert chunks == {f"chunk-{i}-0.bin": 1 for i in range(4)}


def test_the_cache_stays_within_its_bound(images: Path, store: HTTPStore, tmp_path: Path) -> None:
    size = (images / "1x8x8" / CHUNK).stat().st_size
    config = storage(tmp_path, cache_gb=2.5 * size / 1e9, threads=2)
    held: list[int] = []
    cache = ChunkCache(config)
    for number in range(4):
        Dataset(store.address, storage=config).readers["1x8x8"].prefetch(number)
        held.append(cache.bytes_held() // size)
    assert held == [1, 2, 2, 2]
    assert ids(store.address, config) == ids(str(images), StorageConfig())
    assert cache.bytes_held() <= cache.capacity
    with pytest.raises(DataError, match=r"data.storage.cache_gb=1e-06 does not hold chunk"):
        Dataset(store.address, storage=storage(tmp_path / "small", cache_gb=1e-6)).pixels("1x8x8", 0)


def test_several_readers_download_a_chunk_once(store: HTTPStore, tmp_path: Path) -> None:
    readers = [Dataset(store.address, storage=storage(tmp_path)).readers["1x8x8"] for _ in range(4)]
    threads = [threading.Thread(target=reader.prefetch, args=(1,)) for reader in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.requests[CHUNK] == 1


def test_the_plan_is_downloaded_ahead(store: HTTPStore, tmp_path: Path) -> None:
    data = DataConfig(
        streams={"v": StreamConfig(path=store.address, batch_size=4)},
        storage=storage(tmp_path),
        shuffle_chunks=1,
    )
    batches = iter(MediaLoaders(data, 3, num_steps=20).train_dataloader())
    next(batches)
    for _ in range(500):
        if sum(n for name, n in store.requests.items() if name.endswith(".bin")) == 4:
            break
        threading.Event().wait(0.01)
    else:
        pytest.fail("chunks of later steps were not downloaded")
    batches.close()


def test_refusals_and_damage_are_tried_again(store: HTTPStore, tmp_path: Path) -> None:
    store.refuse[CHUNK], store.damage["chunk-2-0.bin"] = 1, 1
    reader = Dataset(store.address, storage=storage(tmp_path)).readers["1x8x8"]
    assert reader[12].id.endswith("0012")
    assert reader[22].id.endswith("0022")
    assert (store.requests[CHUNK], store.requests["chunk-2-0.bin"]) == (2, 2)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("refuse", r"1x8x8/chunk-1-0.bin: cannot be downloaded \(\d attempts in \d s\): 503"),
        ("damage", r"1x8x8/chunk-1-0.bin: cannot be downloaded .*corrupt object: checksum differs"),
        ("trickle", r"1x8x8/chunk-1-0.bin: cannot be downloaded .*not complete after 0.3 s"),
    ],
)
def test_a_fault_that_stays_is_named(store: HTTPStore, tmp_path: Path, fault: str, message: str) -> None:
    if fault == "trickle":
        store.trickle.add(CHUNK)
    else:
        getattr(store, fault)[CHUNK] = 99
    config = storage(tmp_path, patience_s=1.0, attempt_s=0.3)
    with pytest.raises(DataError, match=message) as error:
        Dataset(store.address, storage=config).pixels("1x8x8", 12)
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "cache").glob("incoming-*"))


def test_what_is_not_there_is_named_at_once(store: HTTPStore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"/none/dataset.json: cannot be downloaded \(1 attempts.*404"):
        Dataset(f"{store.address}/none", storage=storage(tmp_path, patience_s=100.0))


def test_downloads_of_a_killed_process_are_cleared(store: HTTPStore, tmp_path: Path) -> None:
    config = storage(tmp_path)
    child = os.fork()
    if child == 0:  # ends in the middle of a download
        with ChunkCache(config)._incoming(Path("x.bin"), 1 << 20):
            os._exit(0)
    os.waitpid(child, 0)
    assert len(list((tmp_path / "cache").glob("incoming-*"))) == 1
    Dataset(store.address, storage=config).readers["1x8x8"].prefetch(0)
    assert not list((tmp_path / "cache").glob("incoming-*"))


def test_a_shared_disk_goes_through_the_cache(images: Path, tmp_path: Path) -> None:
    dataset = Dataset(f"local:{images}", storage=storage(tmp_path))
    assert dataset.pixels("1x8x8", 12).id.endswith("0012")
    assert len(list((tmp_path / "cache").rglob("*.bin"))) == 1


def test_a_downloader_that_returns_without_a_file_is_tried_again(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LitData's `download_file` does so while another process holds its lock."""
    calls: list[str] = []
    original = litdata_downloader.LocalDownloader.download_file

    def silent_once(self, remote: str, local: str) -> None:
        calls.append(remote)
        if len(calls) != 2:
            original(self, remote, local)

    monkeypatch.setattr(litdata_downloader.LocalDownloader, "download_file", silent_once)
    Storage(f"local:{images}", storage(tmp_path)).fetch("dataset.json", tmp_path / "one")
    Storage(f"local:{images}", storage(tmp_path)).fetch("dataset.json", tmp_path / "two")
    assert (tmp_path / "two").read_bytes() == (images / "dataset.json").read_bytes()
    assert len(calls) == 3


def test_the_hub(store: HTTPStore, tmp_path: Path) -> None:
    """hf:// through the Hub's own client, from a server that answers as the Hub does."""
    config = storage(tmp_path, options={"endpoint": store.address})
    dataset = Dataset("hf://datasets/someone/images", storage=config)
    assert torch.equal(
        dataset.pixels("1x8x8", 12).video_TCHW, Dataset(store.root).pixels("1x8x8", 12).video_TCHW
    )


def test_google_cloud_storage(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """gs:// through LitData's class, with a stand-in for Google's client."""

    class Client:
        def __init__(self, project: str = "") -> None:
            assert project == "mine"

        def bucket(self, name: str) -> "Client":
            assert name == "bucket"
            return self

        def blob(self, key: str) -> "Client":
            self.key = key.removeprefix("set/")
            return self

        def download_to_file(self, file) -> None:
            file.write((images / self.key).read_bytes())

    cloud = types.ModuleType("google.cloud")
    cloud.storage = types.SimpleNamespace(Client=Client)
    monkeypatch.setitem(sys.modules, "google.cloud", cloud)
    monkeypatch.setattr(litdata_downloader, "_GOOGLE_STORAGE_AVAILABLE", True)
    config = storage(tmp_path, options={"project": "mine"})
    assert Dataset("gs://bucket/set", storage=config).pixels("1x8x8", 12).id.endswith("0012")


def test_credentials_do_not_enter_a_config(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ValueError, match=r"options.aws_secret_access_key: .*credentials come from the environment"
    ):
        StorageConfig(options={"aws_secret_access_key": "x"})
    monkeypatch.setenv("MOVIEGEN_STORAGE_OPTIONS", "[1")
    with pytest.raises(DataError, match="MOVIEGEN_STORAGE_OPTIONS: not a JSON object"):
        Storage("s3://bucket/set", StorageConfig(patience_s=0.0)).fetch("x", Path("/nowhere/x"))
