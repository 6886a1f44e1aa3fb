"""Sources of a bucket's chunks: in a directory, read in place, or in a store, through the cache."""

import os
from pathlib import Path
from typing import Any

from src.core.hashing import file_sha256
from src.streaming.chunk_cache import ChunkCache, touch
from src.streaming.schema.bucket import DamagedError, DataError
from src.streaming.schema.chunk_table import TABLE
from src.streaming.schema.dataset_index import ChunkInfo, ShardInfo, read_json
from src.streaming.storage import Storage

AGAIN = "copy it again or re-run data.prepare"


class LocalChunks:
    """Chunks below a directory. `verify` compares each with its checksum, once in each process."""

    remote = False

    def __init__(self, root: Path, *, verify: bool) -> None:
        self.root, self._verify = root, verify
        self._verified: set[str] = set()

    def where(self, name: str = "") -> str:
        """Return the address of a file, for messages."""
        return str(self.root / name)

    def read_json(self, name: str) -> Any:
        return read_json(self.root / name)

    def table_path(self, shard: ShardInfo) -> Path:
        """Return the path of a shard's table of chunks, checked."""
        path = self.root / shard.name / TABLE
        if not path.is_file():
            raise DataError(f"{path}: missing; {AGAIN}")
        if file_sha256(path) != shard.sha256:
            raise DataError(f"{path}: checksum differs; {AGAIN}")
        return path

    def check_size(self, chunk: ChunkInfo) -> None:
        """Raise DataError unless the chunk is here in its size."""
        path = self.root / chunk.filename
        try:
            found = path.stat().st_size
        except FileNotFoundError:
            raise DataError(f"{path}: chunk is missing; {AGAIN}") from None
        if found != chunk.bytes:
            raise DamagedError(f"{path}: corrupt chunk: {found} bytes instead of {chunk.bytes}; {AGAIN}")

    def path(self, chunk: ChunkInfo) -> Path:
        """Return the chunk's path, checked."""
        path = self.root / chunk.filename
        if chunk.filename not in self._verified:
            self.check_size(chunk)
            if self._verify and chunk.sha256 and file_sha256(path) != chunk.sha256:
                raise DamagedError(f"{path}: corrupt chunk (checksum differs); {AGAIN}")
            self._verified.add(chunk.filename)
        return path

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_verified": set()}


class CachedChunks:
    """Chunks below an address, checked once on arrival.

    Args:
        folder: of the bucket, below the address; empty: the address itself.
        key: of the data set's content: names the chunks in the cache.
    """

    remote = True

    def __init__(self, storage: Storage, folder: str, cache: ChunkCache, key: str, *, verify: bool) -> None:
        self.storage, self.folder, self.cache, self.key = storage, folder, cache, key
        self._verify = verify

    def where(self, name: str = "") -> str:
        """Return the address of a file, for messages."""
        return "/".join(filter(None, (self.storage.address, self.folder, name)))

    def read_json(self, name: str) -> Any:
        return fetch_json(self.storage, f"{self.folder}/{name}".lstrip("/"), self.cache)

    def table_path(self, shard: ShardInfo) -> Path:
        """Return the path of a shard's table of chunks, downloaded if it is not here."""
        path = self.cache.root / ".tables" / f"{shard.sha256}.npz"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with self.cache.scratch() as folder:
                name = f"{self.folder}/{shard.name}/{TABLE}"
                self.storage.fetch(name, folder / TABLE, lambda p: _table_fault(p, shard))
                os.replace(folder / TABLE, path)
        return path

    def check_size(self, chunk: ChunkInfo) -> None:
        """Do nothing: asking for millions of objects takes hours; each is checked when it arrives."""

    def path(self, chunk: ChunkInfo) -> Path:
        """Return the chunk's path in the cache, downloaded if it is not there."""
        name = f"{self.folder}/{chunk.filename}".lstrip("/")
        return self.cache.get(
            f"{self.key}/{name}",
            chunk.bytes,
            lambda to: self.storage.fetch(name, to, lambda p: self._fault(p, chunk)),
        )

    def touch(self, chunk: ChunkInfo) -> None:
        """Keep a chunk in the cache that is needed soon."""
        touch(self.cache.root / self.key / self.folder / chunk.filename)

    def _fault(self, path: Path, chunk: ChunkInfo) -> str:
        found = path.stat().st_size
        if found != chunk.bytes:
            return f"corrupt object: {found} bytes instead of {chunk.bytes}"
        if self._verify and chunk.sha256 and file_sha256(path) != chunk.sha256:
            return "corrupt object: checksum differs"
        return ""


def _table_fault(path: Path, shard: ShardInfo) -> str:
    return "" if file_sha256(path) == shard.sha256 else "corrupt object: checksum differs"


Chunks = LocalChunks | CachedChunks


def fetch_json(storage: Storage, name: str, cache: ChunkCache) -> Any:
    """Download a JSON file of a data set; DataError with its address."""
    with cache.scratch() as folder:
        storage.fetch(name, folder / "file.json")
        try:
            return read_json(folder / "file.json")
        except DataError as error:
            raise DataError(f"{storage.address}/{name}: {str(error).split(': ', 1)[1]}") from None
