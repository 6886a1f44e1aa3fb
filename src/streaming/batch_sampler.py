"""Sample batches as a pure function of (seed, step).

No state is kept. For any step the sampler returns the stream (images, videos), the bucket and the record
numbers of the GLOBAL batch; a rank takes its slice of it. Resuming, another number of ranks or of
workers, or another file system therefore give the same batches (docs/decisions/0001).

The mixture is exact over every window of sum(weights) steps. Within a stream, buckets alternate in
proportion to their size. Within a bucket, every record comes once in an epoch (`EpochOrder`). An epoch's
end may fall inside a batch, which the next epoch fills up; no record occurs twice in a batch.
Packed streams mix their buckets as one, and batches are cut by tokens (`PackedBucketSpec`). With several
virtual shards, each fills an equal slice of every batch from its own chunks (`VirtualShards`).

Legend: N batches of one window or one epoch of a stream.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from src.core.rng import numpy_generator
from src.streaming.buckets import BucketSpec, PackedBucketSpec
from src.streaming.rank_slices import slice_of
from src.streaming.schema.bucket import DataError
from src.streaming.virtual_shards import VirtualShards


@dataclass(frozen=True)
class StreamSpec:
    """One stream of batches: its weight in the mixture and its buckets."""

    weight: int
    buckets: dict[str, BucketSpec]


@dataclass(frozen=True)
class BatchIndices:
    """The global batch of one step: `records[i]` is the record number, within the bucket, of sample i."""

    step: int
    stream: str
    bucket: str
    records: tuple[int, ...]
    epoch: int = 0
    num_real: int | None = None  # validation: samples from here on repeat records to fill the batch
    tokens: tuple[int, ...] = ()  # of each sample, where sizes differ: a packed batch
    shards: tuple[int, ...] = ()  # packed: samples of each virtual shard
    first: int = 0  # global index of the first of the records: those of a rank need not be all
    total: int = 0  # samples of the global batch


class BatchSampler:
    """The order of training batches; see the module's docstring.

    Args:
        streams: by name; weights 3 and 1 mean three of four batches from the first.
        shuffle_chunks: how many neighboring chunks (after permuting them) records are mixed over.
        virtual_shards: parts of each bucket's chunks that fill equal slices of a batch.

    Raises:
        DataError: a stream without buckets or with a weight below 1; a bucket smaller than a batch.
    """

    def __init__(
        self,
        streams: dict[str, StreamSpec],
        seed: int,
        *,
        shuffle_chunks: int = 16,
        virtual_shards: int = 1,
    ) -> None:
        self.streams, self.seed = streams, seed
        self.shuffle_chunks, self.virtual_shards = shuffle_chunks, virtual_shards
        for name, stream in streams.items():
            _check_stream(f"data.streams.{name}", stream)
        self._orders = {
            (name, bucket): VirtualShards(
                f"data.streams.{name}", spec, virtual_shards, seed, f"{name}/{bucket}", shuffle_chunks
            )
            for name, stream in streams.items()
            for bucket, spec in stream.buckets.items()
        }
        # Names sorted: the mixture must not depend on the order of keys in a YAML file.
        self._names = sorted(streams)
        self._window_N = np.repeat(np.arange(len(self._names)), [streams[n].weight for n in self._names])
        # Caches only save time: workers read steps a few windows apart.
        self._mixture = lru_cache(8)(self._permuted_mixture)
        self._bucket_order = lru_cache(32)(self._permuted_buckets)

    def batch_at(self, step: int, rank: int = 0, world_size: int = 1) -> BatchIndices:
        """Return the global batch of a step (counted from 0), or the slice of it that one rank has.

        A packed batch is always complete; the rank's samples of it are chosen by tokens.
        """
        window, index = divmod(step, len(self._window_N))
        mixture_N = self._mixture(window)
        which = mixture_N[index]
        name = self._names[which]
        # Every window contains each stream `weight` times, so its number of earlier batches is known.
        number = window * self.streams[name].weight + int((mixture_N[:index] == which).sum())
        bucket, batch = self._bucket_of(name, number)
        order = self._orders[name, bucket]
        if isinstance(order.spec, PackedBucketSpec):
            epoch, records, tokens, shards = order.packed_batch(batch)
            return BatchIndices(
                step, name, bucket, records, epoch, tokens=tokens, shards=shards, total=len(records)
            )
        size = order.spec.batch_size
        part = slice_of(size, world_size, rank)
        records = tuple(order.records(batch, part.start, part.stop).tolist())
        epoch = batch * size // order.spec.per_epoch
        return BatchIndices(step, name, bucket, records, epoch, first=part.start, total=size)

    def _permuted_mixture(self, window: int) -> np.ndarray:
        """Return the numbers of the streams of one window of steps, in keyed order."""
        # A permutation and not independent draws: the mixture is exact in every window, not on average.
        return numpy_generator(self.seed, "data/mixture", window).permutation(self._window_N)

    def _batches_before(self, stream: str, epoch: int) -> dict[str, int]:
        """Return the number of full batches of each bucket in the first `epoch` epochs."""
        return {
            b: epoch * p.per_epoch // p.batch_size for b, p in sorted(self.streams[stream].buckets.items())
        }

    def _permuted_buckets(self, stream: str, epoch: int) -> tuple[list[str], np.ndarray]:
        """Return the buckets of a stream, and the index of each batch's bucket in one epoch's keyed order."""
        before, after = self._batches_before(stream, epoch), self._batches_before(stream, epoch + 1)
        order_N = np.repeat(np.arange(len(before)), [after[b] - before[b] for b in before])
        return list(before), numpy_generator(self.seed, f"data/buckets/{stream}", epoch).permutation(order_N)

    def _bucket_of(self, stream: str, number: int) -> tuple[str, int]:
        """Return the bucket, and its own batch number, of the stream's batch number `number`."""
        if len(self.streams[stream].buckets) == 1:
            return next(iter(self.streams[stream].buckets)), number
        # Find the epoch of the batch. Epochs differ by a batch (rounding), so a division is not enough;
        # doubling and bisecting take logarithmic time, where counting up from epoch 0 would slow a resume.
        low, high = 0, 1
        while sum(self._batches_before(stream, high).values()) <= number:
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (
                (middle, high)
                if sum(self._batches_before(stream, middle).values()) <= number
                else (low, middle)
            )
        before = self._batches_before(stream, low)
        names, order_N = self._bucket_order(stream, low)
        index = number - sum(before.values())
        which = order_N[index]
        return names[which], before[names[which]] + int((order_N[:index] == which).sum())

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.streams, self.seed, self.shuffle_chunks, self.virtual_shards)


class ValidationSampler:
    """Every record once, in the order of the files, bucket by bucket; the same each time.

    The last batch of a bucket is filled up with repeats from its beginning, so that all ranks see
    equal shapes; `BatchIndices.num_real` is the number of samples that are not repeats.

    Args:
        limit: maximum number of batches of each stream, taken from its buckets in order; 0 means all.
    """

    def __init__(self, streams: dict[str, StreamSpec], *, limit: int = 0) -> None:
        self.batches: list[BatchIndices] = []
        for name, stream in sorted(streams.items()):
            rows = [
                (bucket, spec, first)
                for bucket, spec in sorted(stream.buckets.items())
                for first in range(0, spec.num_records, spec.batch_size)
            ]
            for bucket, spec, first in rows[: limit or None]:
                records = tuple((first + i) % spec.num_records for i in range(spec.batch_size))
                real = min(spec.batch_size, spec.num_records - first)
                self.batches.append(BatchIndices(len(self.batches), name, bucket, records, num_real=real))

    def __len__(self) -> int:
        return len(self.batches)

    def batch_at(self, step: int, rank: int = 0, world_size: int = 1) -> BatchIndices:
        """Return validation batch number `step`, or the slice of it that one rank has."""
        batch = self.batches[step]
        part = slice_of(len(batch.records), world_size, rank)
        return replace(
            batch, records=batch.records[part.start : part.stop], first=part.start, total=len(batch.records)
        )


def _check_stream(key: str, stream: StreamSpec) -> None:
    if stream.weight < 1:
        raise DataError(f"{key}.weight must be an integer of at least 1, got {stream.weight}")
    if not stream.buckets:
        raise DataError(f"{key} has no bucket to draw from")
    for bucket, spec in stream.buckets.items():
        if spec.num_records < spec.batch_size:
            raise DataError(
                f"{key}: bucket {bucket} has {spec.num_records} records, fewer than one batch of "
                f"{spec.batch_size}; use {key}.batch_size={spec.num_records} or less, prepare more data, or "
                f"leave the bucket out with {key}.buckets"
            )


def _rebuild(
    streams: dict[str, StreamSpec], seed: int, shuffle_chunks: int, virtual_shards: int
) -> BatchSampler:
    """Return the unpickled sampler, with empty caches."""
    return BatchSampler(streams, seed, shuffle_chunks=shuffle_chunks, virtual_shards=virtual_shards)
