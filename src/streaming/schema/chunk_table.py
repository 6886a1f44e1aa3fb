"""Chunks of a bucket by column: small enough for millions of them.

A bucket of more than MAX_CHUNKS chunks is a set of LitData directories, `00000`, `00001`, ..., each with the
table of its chunks in `chunks.npz`: 44 bytes a chunk, of which 4 are read at the start.

Legend: K chunks.
"""

import io
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from src.streaming.schema.dataset_index import BucketInfo, ChunkInfo, ShardInfo

TABLE = "chunks.npz"
OPEN_TABLES = 256


class ChunkTable:
    """Chunks of a bucket in the order of record numbers; `records_K` is the number of records of each.

    Args:
        fetch: returns the path of a shard's table, checked.
    """

    def __init__(self, info: BucketInfo, fetch: Callable[[ShardInfo], Path]) -> None:
        self._chunks, self._shards = info.chunks, info.shards
        self._paths = [fetch(shard) for shard in info.shards]
        self._starts = np.cumsum([0, *(shard.chunks for shard in info.shards)])
        columns = [_column(path, "records") for path in self._paths]
        columns.append(np.array([c.records for c in info.chunks], np.int32))
        self.records_K = np.concatenate(columns)
        self._columns = lru_cache(OPEN_TABLES)(self._read_columns)

    def __len__(self) -> int:
        return len(self.records_K)

    def __getitem__(self, number: int) -> ChunkInfo:
        if not self._shards:
            return self._chunks[number]
        shard = int(np.searchsorted(self._starts, number, side="right")) - 1
        position = number - int(self._starts[shard])
        sizes, hashes = self._columns(shard)
        name = f"{self._shards[shard].name}/{chunk_name(position)}"
        return ChunkInfo(
            name, int(self.records_K[number]), int(sizes[position]), hashes[position].tobytes().hex()
        )

    def _read_columns(self, shard: int) -> tuple[np.ndarray, np.ndarray]:
        return _column(self._paths[shard], "bytes"), _column(self._paths[shard], "sha256")

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_columns"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._columns = lru_cache(OPEN_TABLES)(self._read_columns)


def chunk_name(position: int) -> str:
    """Return the file name of a shard's chunk."""
    return f"chunk-0-{position}.bin"


def table_bytes(chunks: Sequence[ChunkInfo]) -> bytes:
    """Return the contents of a shard's table."""
    out = io.BytesIO()
    hashes = np.frombuffer(bytes.fromhex("".join(c.sha256 for c in chunks)), np.uint8).reshape(-1, 32)
    np.savez(
        out,
        records=np.array([c.records for c in chunks], np.int32),
        bytes=np.array([c.bytes for c in chunks], np.int64),
        sha256=hashes,
    )
    return out.getvalue()


def _column(path: Path, name: str) -> np.ndarray:
    with np.load(path) as table:
        return table[name]
