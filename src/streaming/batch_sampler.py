"""Sample batches as a pure function of (seed, step).

No state is kept. For any step the sampler returns the stream (images, videos), the bucket and the record
numbers of the GLOBAL batch; a rank takes its slice of it. Resuming, another number of ranks or of
workers, or another file system therefore give the same batches (docs/decisions/0001).

The mixture is exact over every window of sum(weights) steps. Within a stream, buckets alternate in
proportion to their size. Within a bucket, every record comes once in an epoch: chunks are permuted,
then records among `shuffle_chunks` neighboring chunks, so that a batch touches few files. An epoch's
end falls inside a batch and the next epoch continues behind it; no record occurs twice in a batch.
Packed streams mix their buckets as one, and batches are cut by tokens (`PackedBucketSpec`).

Legend: N batches of one window or one epoch of a stream, R records of one block of chunks.

Not built: "virtual shards". On hundreds of nodes each reads all chunks, since consecutive places of a
batch come from the same chunks. Splitting the permuted chunks into a fixed number of virtual shards,
of which a batch takes equal runs, would let a node read only its own, without order depending on the
number of nodes. `_records_at` is the one place to change.
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
        streams: by name; a weight of 3 beside a weight of 1 means three of four batches.
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
        # Caches only save time. Sizes: workers ask for steps a few windows apart; blocks are the large
        # ones (records of 16 chunks), and a batch needs those of two epochs at most.
        self._mixture = lru_cache(8)(self._permuted_mixture)
        self._turns = lru_cache(32)(self._permuted_turns)
        self._swaps = lru_cache(64)(self._border_swaps)
        self._blocks = lru_cache(64)(self._permuted_chunks)
        self._token_starts = lru_cache(64)(self._block_tokens)
        self._block = lru_cache(256)(self._permuted_block)

    def batch_at(self, step: int) -> BatchIndices:
        """Return the global batch of a step (counted from 0)."""
        window, place = divmod(step, len(self._window_N))
        mixture_N = self._mixture(window)
        which = mixture_N[place]
        name = self._names[which]
        # Every window holds each stream `weight` times, so earlier windows need not be looked at.
        turn = window * self.streams[name].weight + int((mixture_N[:place] == which).sum())
        bucket, batch = self._bucket_of(name, turn)
        spec = self.streams[name].buckets[bucket]
        if isinstance(spec, PackedBucketSpec):
            return self._packed_batch(step, name, bucket, batch)
        first = batch * spec.batch_size
        records = self._records_at(name, bucket, first, spec.batch_size)
        return BatchIndices(step, name, bucket, records, first // spec.per_epoch)

    def _packed_batch(self, step: int, stream: str, bucket: str, turn: int) -> BatchIndices:
        """Return the records that begin within a batch's window of its epoch's line of tokens."""
        spec = self.streams[stream].buckets[bucket]
        assert isinstance(spec, PackedBucketSpec)
        epoch, batch = divmod(turn, spec.num_batches)
        first, last = spec.window(batch)
        starts = self._token_starts(stream, bucket, epoch)
        records: list[int] = []
        tokens: list[int] = []
        # Only blocks that the window touches are permuted: a step costs the same at any place of an epoch.
        for block in range(bisect_right(starts, first) - 1, bisect_left(starts, last)):
            records_R = self._block(stream, bucket, epoch, block)
            tokens_R = spec.tokens_of(records_R)
            begins_R = starts[block] + np.cumsum(tokens_R) - tokens_R
            chosen_R = (begins_R >= first) & (begins_R < last)
            records += records_R[chosen_R].tolist()
            tokens += tokens_R[chosen_R].tolist()
        return BatchIndices(step, stream, bucket, tuple(records), epoch, tokens=tuple(tokens))

    def _block_tokens(self, stream: str, bucket: str, epoch: int) -> list[int]:
        """Return the token of an epoch's line at which each block of a packed bucket begins."""
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
        """Return the full batches that each bucket has given when `epoch` epochs are over."""
        return {
            b: epoch * p.per_epoch // p.batch_size for b, p in sorted(self.streams[stream].buckets.items())
        }

    def _permuted_turns(self, stream: str, epoch: int) -> tuple[list[str], np.ndarray]:
        """Return the buckets of a stream, and their numbers in one epoch's keyed order."""
        before, after = self._batches_before(stream, epoch), self._batches_before(stream, epoch + 1)
        turns_N = np.repeat(np.arange(len(before)), [after[b] - before[b] for b in before])
        return list(before), numpy_generator(self.seed, f"data/buckets/{stream}", epoch).permutation(turns_N)

    def _bucket_of(self, stream: str, turn: int) -> tuple[str, int]:
        """Return the bucket, and the number of its batch, for the stream's batch number `turn`."""
        if len(self.streams[stream].buckets) == 1:
            return next(iter(self.streams[stream].buckets)), turn
        # Which epoch holds the turn? Epochs differ by a batch (rounding), so no division tells; searching
        # from 1 by doubling takes logarithmic time, where counting up from epoch 0 would slow a resume.
        low, high = 0, 1
        while sum(self._batches_before(stream, high).values()) <= turn:
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (
                (middle, high)
                if sum(self._batches_before(stream, middle).values()) <= turn
                else (low, middle)
            )
        before = self._batches_before(stream, low)
        names, turns_N = self._turns(stream, low)
        place = turn - sum(before.values())
        which = turns_N[place]
        return names[which], before[names[which]] + int((turns_N[:place] == which).sum())

    def _records_at(self, stream: str, bucket: str, first: int, count: int) -> tuple[int, ...]:
        """Return the records at places first..first+count of the endless sequence of epochs."""
        per_epoch = self.streams[stream].buckets[bucket].per_epoch
        out = []
        for position in range(first, first + count):
            epoch, place = divmod(position, per_epoch)
            swapped = self._swaps(stream, bucket, epoch)
            out.append(swapped[place] if place in swapped else self._shuffled(stream, bucket, epoch, place))
        return tuple(out)

    def _border_swaps(self, stream: str, bucket: str, epoch: int) -> dict[int, int]:
        """Return changes to an epoch's order that keep the batch across its beginning free of repeats.

        Records of the head that also occur in the tail of the epoch before trade places with records
        from the middle, which neither the head nor the tail of this epoch reaches. So no epoch's tail
        ever depends on the epoch before it.
        """
        spec = self.streams[stream].buckets[bucket]
        tail = epoch * spec.per_epoch % spec.batch_size
        if epoch == 0 or tail == 0:
            return {}
        end = spec.per_epoch
        seen = {self._shuffled(stream, bucket, epoch - 1, p) for p in range(end - tail, end)}
        swaps: dict[int, int] = {}
        # Partners start behind the first batch and end before the last one: `BucketSpec.per_epoch`
        # grants partial batches only to buckets of three batches or more, so there are always enough.
        partner = spec.batch_size
        for place in range(spec.batch_size - tail):
            record = self._shuffled(stream, bucket, epoch, place)
            if record not in seen:
                continue
            while self._shuffled(stream, bucket, epoch, partner) in seen:
                partner += 1
            assert partner < end - spec.batch_size
            swaps |= {place: self._shuffled(stream, bucket, epoch, partner), partner: record}
            partner += 1
        return swaps

    def _shuffled(self, stream: str, bucket: str, epoch: int, place: int) -> int:
        """Return the record at a place of an epoch's keyed permutation."""
        starts = self._blocks(stream, bucket, epoch)[1]
        block = bisect_right(starts, place) - 1
        return int(self._block(stream, bucket, epoch, block)[place - starts[block]])

    def _permuted_chunks(self, stream: str, bucket: str, epoch: int) -> tuple[list[np.ndarray], list[int]]:
        """Return blocks of permuted chunk numbers, and the place at which each block begins."""
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
        limit: batches of each stream at most, spread over its buckets from the first on; 0 means all.
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
    """Return the sampler in another process; caches do not travel."""
    return BatchSampler(streams, seed, shuffle_chunks=shuffle_chunks)
