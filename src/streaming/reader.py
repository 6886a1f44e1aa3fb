"""Read records by bucket and number, in place or from a store, with checks of our own.

Chunks are LitData's, decoded by its serializers. Its iteration order depends on the file system (NFS, or
even a path with "vast" in its name, switches the shuffle), its resume on the number of workers; see
batch_sampler.py.
"""

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from src.streaming.chunk_cache import ChunkCache
from src.streaming.chunk_items import ChunkItems
from src.streaming.chunk_sources import CachedChunks, Chunks, LocalChunks, fetch_json
from src.streaming.config import StorageConfig
from src.streaming.optimized import is_optimized, read_optimized, record_of_item
from src.streaming.remote_index import fetch_info
from src.streaming.schema.bucket import Bucket, DamagedError, DataError
from src.streaming.schema.cache_keys import stable_hash
from src.streaming.schema.chunk_table import ChunkTable
from src.streaming.schema.dataset_index import BucketInfo, DatasetInfo, read_info
from src.streaming.schema.records import ClipRecord, LatentRecord, Record, record_of
from src.streaming.storage import Storage, is_final, is_remote

# Chunks are mapped read-only and batches are copies: trigger torch's warning about read-only buffers,
# which comes once a process, here and suppressed.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch.frombuffer(b"\0", dtype=torch.uint8)


class BucketReader:
    """Random access to one bucket. Picklable; files are opened on first use in each process.

    Args:
        decode: makes an item and its number a record.

    Raises:
        DataError: LitData's index does not fit the data set's; a chunk is missing or truncated.
    """

    def __init__(
        self, name: str, info: BucketInfo, chunks: Chunks, decode: Callable[[Any, int], Record] | None = None
    ) -> None:
        self.name, self.info, self.chunks, self._decode = name, info, chunks, decode
        with ThreadPoolExecutor(16) as pool:
            paths = dict(zip(info.shards, pool.map(chunks.table_path, info.shards), strict=True))
        self.table = ChunkTable(info, paths.__getitem__)
        self._starts = np.concatenate([[0], np.cumsum(self.table.records_K, dtype=np.int64)])
        index_name = f"{info.shards[0].name}/index.json" if info.shards else "index.json"
        index = chunks.read_json(index_name)
        names = [c["filename"] for c in index.get("chunks", [])] if isinstance(index, dict) else []
        expected = info.shards[0].chunks if info.shards else len(info.chunks)
        if len(names) != expected or (info.chunks and names != [c.filename for c in info.chunks]):
            raise DataError(f"{chunks.where(index_name)}: does not list the chunks that dataset.json lists")
        for chunk in info.chunks:
            chunks.check_size(chunk)
        self._items = ChunkItems(index["config"], chunks.where())

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> Record:
        """Return record `index`. Its tensors are views of the chunk: copy before keeping or changing them."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has {len(self)} records, got index {index}")
        number = self.chunk_of(index)
        chunk, item = self.table[number], index - int(self._starts[number])
        try:
            found = self._items.read(number, item, chunk.records, lambda: self.chunks.path(chunk))
            return self._decode(found, index) if self._decode else record_of(found)
        except DataError:
            raise
        except Exception as error:  # LitData does not validate: damaged data can raise anything
            where, text = self.chunks.where(chunk.filename), " ".join(str(error).split())
            raise DamagedError(f"{where}: cannot read record {index}: {text}") from error

    def chunk_of(self, index: int) -> int:
        """Return the number of the chunk that holds a record."""
        return int(np.searchsorted(self._starts, index, side="right")) - 1

    def prefetch(self, chunk: int) -> None:
        """Download a chunk that is in a store and not in the cache."""
        self.chunks.path(self.table[chunk])

    def touch(self, chunk: int) -> None:
        """Keep a chunk in the cache that is needed soon."""
        if isinstance(self.chunks, CachedChunks):
            self.chunks.touch(self.table[chunk])


class Dataset:
    """A complete data set.

    Args:
        root: directory, or address in a store, that holds dataset.json.
        verify: compare each chunk with its checksum: on arrival, or before its first use in each process.
        storage: of data sets in a store.

    Raises:
        DataError: missing, incomplete or empty data set, a missing or truncated chunk.
    """

    def __init__(
        self, root: Path | str, *, verify: bool = True, storage: StorageConfig | None = None
    ) -> None:
        self.info: DatasetInfo
        if is_remote(root):
            self._open_remote(str(root), verify, storage or StorageConfig())
        else:
            folder = Path(root)
            if is_optimized(folder):
                self._open_optimized(str(root), LocalChunks(folder, verify=verify))
                return
            self.info = read_info(root)
            chunks = {name: LocalChunks(folder / name, verify=verify) for name in self.info.buckets}
            self._open(str(root), chunks)

    def _open_remote(self, address: str, verify: bool, config: StorageConfig) -> None:
        storage, cache = Storage(address, config), ChunkCache(config)
        try:
            self.info, key = fetch_info(storage, cache)
        except DataError as error:
            if not isinstance(error.__cause__, Exception) or not is_final(error.__cause__):
                raise
            try:
                index = fetch_json(storage, "index.json", cache)
                key = stable_hash(index)
                self._open_optimized(address, CachedChunks(storage, "", cache, key, verify=verify))
            except DataError as second:
                raise error if second.__cause__ else second from None
            return
        chunks = {name: CachedChunks(storage, name, cache, key, verify=verify) for name in self.info.buckets}
        self._open(storage.address, chunks)

    def _open_optimized(self, root: str, chunks: Chunks) -> None:
        self.info, self.root = read_optimized(chunks), root
        ((name, info),) = self.info.buckets.items()
        self.readers = {name: BucketReader(name, info, chunks, partial(record_of_item, bucket=name))}

    def _open(self, root: str, chunks: dict[str, Any]) -> None:
        self.root = root
        if self.info.records == 0:
            raise DataError(f"{root}: empty data set (0 records); see {root}/rejected.jsonl for reasons")
        self.readers = {
            name: BucketReader(name, info, chunks[name]) for name, info in sorted(self.info.buckets.items())
        }

    @property
    def buckets(self) -> dict[Bucket, int]:
        """Number of records by bucket."""
        return {Bucket.parse(name): len(reader) for name, reader in self.readers.items()}

    def __len__(self) -> int:
        return self.info.records

    def pixels(self, bucket: str, index: int) -> ClipRecord:
        assert self.info.kind == "pixels"
        return cast(ClipRecord, self.readers[bucket][index])

    def latents(self, bucket: str, index: int) -> LatentRecord:
        assert self.info.kind in ("latents", "audio_latents")
        return cast(LatentRecord, self.readers[bucket][index])

    def parts(self, records: int) -> list[tuple[str, int, int]]:
        """Return slices (bucket, start, stop) of at most `records` each: units of encoding work."""
        return [
            (name, start, min(start + records, len(reader)))
            for name, reader in self.readers.items()
            for start in range(0, len(reader), records)
        ]
