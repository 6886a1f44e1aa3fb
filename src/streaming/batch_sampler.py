"""Sample batches as a pure function of (seed, step).

No state is kept. For any step the sampler returns the stream (images, videos), the bucket and the record
numbers of the GLOBAL batch; a rank takes its slice of it. Resuming, another number of ranks or of
workers, or another file system therefore give the same batches (docs/decisions/0001).

The mixture is exact over every window of sum(weights) steps. Within a stream, buckets alternate in
proportion to their size. Within a bucket, every record comes once in an epoch: chunks are permuted,
then records among `shuffle_chunks` neighboring chunks, so that a batch touches few files. An epoch's
end may fall inside a batch, which the next epoch fills up; no record occurs twice in a batch.
Packed streams mix their buckets as one, and batches are cut by tokens (`PackedBucketSpec`).

Legend: N batches of one window or one epoch of a stream, R records of one block of chunks.

Not built: "virtual shards". On hundreds of nodes each reads all chunks, since consecutive samples of a
batch come from the same chunks. With a fixed number of virtual shards of the permuted chunks, each of
which contributes an equal slice of a batch, a node would read its own shards only, and the order would
not depend on the number of nodes. Only `_records_at` would change.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from src.core.rng import numpy_generator
from src.streaming.buckets import BucketSpec, PackedBucketSpec
from src.streaming.schema.bucket import DataError


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


class BatchSampler:
    """The order of training batches; see the module's docstring.

    Args:
        streams: by name; weights 3 and 1 mean three of four batches from the first.
        shuffle_chunks: how many neighboring chunks (after permuting them) records are mixed over.

    Raises:
        DataError: a stream without buckets or with a weight below 1; a bucket smaller than a batch.
    """

    def __init__(self, streams: dict[str, StreamSpec], seed: int, *, shuffle_chunks: int = 16) -> None:
        self.streams, self.seed, self.shuffle_chunks = streams, seed, shuffle_chunks
        for name, stream in streams.items():
            _check_stream(f"data.streams.{name}", stream)
        # Names sorted: the mixture must not depend on the order of keys in a YAML file.
        self._names = sorted(streams)
        self._window_N = np.repeat(np.arange(len(self._names)), [streams[n].weight for n in self._names])
        # Caches only save time. Sizes: workers read steps a few windows apart; blocks are the large
        # ones (records of 16 chunks), and a batch needs those of two epochs at most.
        self._mixture = lru_cache(8)(self._permuted_mixture)
        self._bucket_order = lru_cache(32)(self._permuted_buckets)
        self._swaps = lru_cache(64)(self._border_swaps)
        self._blocks = lru_cache(64)(self._permuted_chunks)
        self._token_starts = lru_cache(64)(self._block_tokens)
        self._block = lru_cache(256)(self._permuted_block)

    def batch_at(self, step: int) -> BatchIndices:
        """Return the global batch of a step (counted from 0)."""
        window, index = divmod(step, len(self._window_N))
        mixture_N = self._mixture(window)
        which = mixture_N[index]
        name = self._names[which]
        # Every window contains each stream `weight` times, so its number of earlier batches is known.
        number = window * self.streams[name].weight + int((mixture_N[:index] == which).sum())
        bucket, batch = self._bucket_of(name, number)
        spec = self.streams[name].buckets[bucket]
        if isinstance(spec, PackedBucketSpec):
            return self._packed_batch(step, name, bucket, batch)
        first = batch * spec.batch_size
        records = self._records_at(name, bucket, first, spec.batch_size)
        return BatchIndices(step, name, bucket, records, first // spec.per_epoch)

    def _packed_batch(self, step: int, stream: str, bucket: str, number: int) -> BatchIndices:
        """Return the records that begin within a batch's window of its epoch's token sequence."""
        spec = self.streams[stream].buckets[bucket]
        assert isinstance(spec, PackedBucketSpec)
        epoch, batch = divmod(number, spec.num_batches)
        first, last = spec.window(batch)
        starts = self._token_starts(stream, bucket, epoch)
        records: list[int] = []
        tokens: list[int] = []
        # Only blocks that the window touches are permuted: a step costs the same anywhere in an epoch.
        for block in range(bisect_right(starts, first) - 1, bisect_left(starts, last)):
            records_R = self._block(stream, bucket, epoch, block)
            tokens_R = spec.tokens_of(records_R)
            begins_R = starts[block] + np.cumsum(tokens_R) - tokens_R
            chosen_R = (begins_R >= first) & (begins_R < last)
            records += records_R[chosen_R].tolist()
            tokens += tokens_R[chosen_R].tolist()
        return BatchIndices(step, stream, bucket, tuple(records), epoch, tokens=tuple(tokens))

    def _block_tokens(self, stream: str, bucket: str, epoch: int) -> list[int]:
        """Return the offset of each block of a packed bucket in its epoch's token sequence."""
        spec = self.streams[stream].buckets[bucket]
        assert isinstance(spec, PackedBucketSpec)
        sizes = np.array(spec.chunk_sizes) * np.array(spec.chunk_tokens)
        blocks = self._blocks(stream, bucket, epoch)[0]
        return np.cumsum([0, *(int(sizes[b].sum()) for b in blocks)])[:-1].tolist()

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

    def _records_at(self, stream: str, bucket: str, first: int, count: int) -> tuple[int, ...]:
        """Return records first..first+count of the endless sequence of epochs."""
        per_epoch = self.streams[stream].buckets[bucket].per_epoch
        out = []
        for position in range(first, first + count):
            epoch, index = divmod(position, per_epoch)
            swapped = self._swaps(stream, bucket, epoch)
            out.append(swapped[index] if index in swapped else self._shuffled(stream, bucket, epoch, index))
        return tuple(out)

    def _border_swaps(self, stream: str, bucket: str, epoch: int) -> dict[int, int]:
        """Return changes to an epoch's order that keep the batch across its beginning free of repeats.

        Records of the head that also occur in the tail of the previous epoch are swapped with records from
        the middle, which is in neither the head nor the tail of this epoch. So an epoch's tail does not
        depend on the previous epoch.
        """
        spec = self.streams[stream].buckets[bucket]
        tail = epoch * spec.per_epoch % spec.batch_size
        if epoch == 0 or tail == 0:
            return {}
        end = spec.per_epoch
        seen = {self._shuffled(stream, bucket, epoch - 1, p) for p in range(end - tail, end)}
        swaps: dict[int, int] = {}
        # Partners start after the first batch and end before the last one: `BucketSpec.per_epoch` allows
        # partial batches only for buckets of three batches or more, so there are always enough.
        partner = spec.batch_size
        for index in range(spec.batch_size - tail):
            record = self._shuffled(stream, bucket, epoch, index)
            if record not in seen:
                continue
            while self._shuffled(stream, bucket, epoch, partner) in seen:
                partner += 1
            assert partner < end - spec.batch_size
            swaps |= {index: self._shuffled(stream, bucket, epoch, partner), partner: record}
            partner += 1
        return swaps

    def _shuffled(self, stream: str, bucket: str, epoch: int, index: int) -> int:
        """Return the record at an index of an epoch's keyed permutation."""
        starts = self._blocks(stream, bucket, epoch)[1]
        block = bisect_right(starts, index) - 1
        return int(self._block(stream, bucket, epoch, block)[index - starts[block]])

    def _permuted_chunks(self, stream: str, bucket: str, epoch: int) -> tuple[list[np.ndarray], list[int]]:
        """Return blocks of permuted chunk numbers, and the index at which each block begins."""
        sizes = np.array(self.streams[stream].buckets[bucket].chunk_sizes)
        order = numpy_generator(self.seed, f"data/chunks/{stream}/{bucket}", epoch).permutation(len(sizes))
        # Two levels (chunks, then records of a few chunks): a full permutation of records would open a
        # file for every sample, and of 100 million records would take 800 MB in each worker.
        blocks = [order[i : i + self.shuffle_chunks] for i in range(0, len(order), self.shuffle_chunks)]
        return blocks, np.cumsum([0, *(int(sizes[b].sum()) for b in blocks)])[:-1].tolist()

    def _permuted_block(self, stream: str, bucket: str, epoch: int, block: int) -> np.ndarray:
        """Return the record numbers of one block's chunks, mixed, [R]."""
        sizes = self.streams[stream].buckets[bucket].chunk_sizes
        starts = np.cumsum([0, *sizes])
        chunks = self._blocks(stream, bucket, epoch)[0][block]
        records_R = np.concatenate([np.arange(starts[c], starts[c + 1]) for c in chunks])
        return numpy_generator(self.seed, f"data/records/{stream}/{bucket}", epoch, block).permutation(
            records_R
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.streams, self.seed, self.shuffle_chunks)


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

    def batch_at(self, step: int) -> BatchIndices:
        """Return validation batch number `step`."""
        return self.batches[step]


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


def _rebuild(streams: dict[str, StreamSpec], seed: int, shuffle_chunks: int) -> BatchSampler:
    """Return the unpickled sampler, with empty caches."""
    return BatchSampler(streams, seed, shuffle_chunks=shuffle_chunks)
