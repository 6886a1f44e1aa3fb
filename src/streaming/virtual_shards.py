"""Virtual shards of a bucket: parts of its chunks that each fill an equal slice of every batch.

A batch of B samples takes B / V from each of V shards, in their order; each shard runs through its own
chunks, epoch after epoch. Where V is a multiple of the number of nodes, and ranks take equal consecutive
slices, a node reads the chunks of its own shards only, and the order does not depend on the number of
nodes (docs/streaming.md).
"""

from dataclasses import replace

import numpy as np

from src.streaming.buckets import BucketSpec, PackedBucketSpec
from src.streaming.epoch_order import EpochOrder
from src.streaming.schema.bucket import DataError


class VirtualShards:
    """The orders of a bucket's shards; of a bucket with one shard, the bucket's own.

    Args:
        key: of the stream, such as "data.streams.videos", for messages.
        name: of the order, such as "videos/16x32x32".

    Raises:
        DataError: a batch that the shards do not divide, a shard with less than its slice of a batch.
    """

    def __init__(
        self, key: str, spec: BucketSpec, num_shards: int, seed: int, name: str, shuffle_chunks: int
    ) -> None:
        self.spec, self.num_shards = spec, num_shards
        self._seed, self._name, self._shuffle_chunks = seed, name, shuffle_chunks
        self._first_records_K = np.cumsum(spec.chunk_sizes, dtype=np.int64) - spec.chunk_sizes
        # Largest chunks first, dealt forwards and backwards: shards differ by less than one chunk.
        sizes = spec.chunk_sizes * (spec.chunk_tokens if isinstance(spec, PackedBucketSpec) else 1)
        self._by_size = np.argsort(-sizes, kind="stable") if num_shards > 1 else None
        self._orders: dict[int, EpochOrder] = {}
        if num_shards > 1:
            self._check(key)

    def order(self, shard: int) -> EpochOrder:
        """Return the order of one shard's records, built on first use."""
        if shard not in self._orders:
            name = self._name if self.num_shards == 1 else f"{self._name}/{shard}"
            chunks, spec = self._chunks(shard), self._shard_spec(shard)
            first_records_K = self._first_records_K[chunks]
            self._orders[shard] = EpochOrder(
                spec, first_records_K, self._seed, name, shuffle_chunks=self._shuffle_chunks
            )
        return self._orders[shard]

    def records(self, number: int, begin: int, end: int) -> np.ndarray:
        """Return samples begin .. end of batch `number` of the bucket."""
        size = self.spec.batch_size // self.num_shards
        parts = []
        for shard in range(begin // size, -(-end // size)):
            low, high = max(begin - shard * size, 0), min(end - shard * size, size)
            parts.append(self.order(shard).records(number * size + low, high - low))
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def packed_batch(self, number: int) -> tuple[int, tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Return a packed batch: epoch (of the first shard), records, their tokens, samples of each shard."""
        parts = [self.order(shard).packed_records(number) for shard in range(self.num_shards)]
        records, tokens = (np.concatenate([part[i] for part in parts]).tolist() for i in (1, 2))
        return parts[0][0], tuple(records), tuple(tokens), tuple(len(part[1]) for part in parts)

    def _chunks(self, shard: int) -> np.ndarray | slice:
        if self._by_size is None:
            return slice(None)
        sweep = 2 * self.num_shards
        forwards, backwards = self._by_size[shard::sweep], self._by_size[sweep - 1 - shard :: sweep]
        return np.sort(np.concatenate([forwards, backwards]))

    def _shard_spec(self, shard: int) -> BucketSpec:
        if self.num_shards == 1:
            return self.spec
        spec, n, chunks = self.spec, self.num_shards, self._chunks(shard)
        if isinstance(spec, PackedBucketSpec):
            return PackedBucketSpec(
                spec.chunk_sizes[chunks],
                -(-spec.batch_size // n),
                spec.chunk_tokens[chunks],
                spec.budget // n,
            )
        return replace(spec, chunk_sizes=spec.chunk_sizes[chunks], batch_size=spec.batch_size // n)

    def _check(self, key: str) -> None:
        spec, n = self.spec, self.num_shards
        packed = isinstance(spec, PackedBucketSpec)
        if not packed and spec.batch_size % n:
            raise DataError(
                f"{key}: data.virtual_shards={n} do not divide a batch of {spec.batch_size} samples; use a "
                "divisor of it that is a multiple of the number of nodes"
            )
        for shard in range(n):
            records = int(spec.chunk_sizes[self._chunks(shard)].sum())
            if records < max(spec.batch_size // n, 1):
                raise DataError(
                    f"{key}: data.virtual_shards={n} leave {records} records of {len(spec.chunk_sizes)} "
                    "chunks to a shard, fewer than its slice of a batch; use fewer"
                )
            if packed:
                try:
                    self._shard_spec(shard)
                except ValueError as error:
                    raise DataError(f"{key}: one of data.virtual_shards={n}: {error}") from error
