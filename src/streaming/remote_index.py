"""The index of a data set, from a directory or a store."""

from pathlib import Path

from src.streaming.chunk_cache import ChunkCache
from src.streaming.chunk_sources import fetch_json
from src.streaming.config import StorageConfig
from src.streaming.schema.bucket import Kind
from src.streaming.schema.cache_keys import stable_hash
from src.streaming.schema.dataset_index import FILENAME, DatasetInfo, parse_info, read_info
from src.streaming.storage import Storage, is_remote


def fetch_info(storage: Storage, cache: ChunkCache) -> tuple[DatasetInfo, str]:
    """Download dataset.json; return its contents, and the key of the data set's chunks in the cache."""
    raw = fetch_json(storage, FILENAME, cache)
    key = stable_hash(raw)
    return parse_info(raw, f"{storage.address}/{FILENAME}"), key


def open_info(path: str, storage: StorageConfig | None = None, kind: Kind | None = None) -> DatasetInfo:
    """Return the index of the data set at a path or address; DataError as `read_info`."""
    if not is_remote(path):
        return read_info(path, kind)
    config = storage or StorageConfig()
    return fetch_info(Storage(path, config), ChunkCache(config))[0]


def may_have_info(path: str) -> bool:
    """Return whether a path names a store, or a directory with a data set."""
    return is_remote(path) or (bool(path) and (Path(path) / FILENAME).is_file())
