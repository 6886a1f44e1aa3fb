"""Which records make up a batch: a pure function of (seed, step).

Nothing is drawn from state. For any step the plan tells the stream (images, videos), the bucket and
the record numbers of the GLOBAL batch; a rank takes its slice of it. Resuming, another number of
ranks or of workers, or another file system therefore give the same batches.

The mixture is exact over every window of sum(weights) steps. Within a stream, buckets take turns in
proportion to their size. Within a bucket, every record comes once in an epoch: chunks are permuted,
then records among `shuffle_chunks` neighbouring chunks, so that a batch touches few files. An epoch's
end falls inside a batch and the next epoch goes on behind it; a record never stands twice in a batch.
Packed streams mix their buckets as one, and batches are cut by tokens (`PackedPlan`).

Not built: "virtual shards". On hundreds of nodes each reads all chunks, since consecutive places of a
batch come from the same chunks. Splitting the permuted chunks into a fixed number of virtual shards,
of which a batch takes equal runs, would let a node read only its own, without order depending on the
number of nodes. `_places` is the one place to change.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from src.core.rng import numpy_generator
from src.streaming.buckets import BucketPlan, PackedPlan
from src.streaming.schema import DataError


@dataclass(frozen=True)
class StreamPlan:
    """A kind of batches: its share of the steps and its buckets."""

    weight: int
    buckets: dict[str, BucketPlan]


@dataclass(frozen=True)
class Draw:
    """The global batch of one step: `indices[slot]` is a record number within the bucket."""

    step: int
    stream: str
    bucket: str
    indices: tuple[int, ...]
    epoch: int = 0
    num_real: int | None = None  # validation: slots from here on repeat records to fill the batch
    tokens: tuple[int, ...] = ()  # of each slot, where sizes differ: a packed batch


class BatchPlan:
    """The order of everything; see the module's text.

    Args:
        streams: by name; a weight of 3 beside a weight of 1 means three of four batches.
        shuffle_chunks: how many neighbouring chunks (after permuting them) records are mixed over.
    """

    def __init__(self, streams: dict[str, StreamPlan], seed: int, *, shuffle_chunks: int = 16) -> None:
        self.streams, self.seed, self.shuffle_chunks = streams, seed, shuffle_chunks
        self._names = sorted(streams)
        for name, stream in streams.items():
            if stream.weight < 1:
                raise DataError(
                    f"data.streams.{name}.weight must be a whole number of at least 1, got {stream.weight}"
                )
            for bucket, plan in stream.buckets.items():
                if plan.records < plan.batch_size:
                    raise DataError(
                        f"stream {name!r}: bucket {bucket} has {plan.records} records, fewer than one batch "
                        f"of {plan.batch_size}; use batch_size={plan.records} or less, prepare more data, "
                        "or leave the bucket out"
                    )
            if not stream.buckets:
                raise DataError(f"stream {name!r} has no bucket to draw from")
        self._window = np.repeat(np.arange(len(self._names)), [streams[n].weight for n in self._names])
        self._mixture = lru_cache(8)(self._mixture_window)
        self._turns = lru_cache(32)(self._epoch_turns)
        self._swaps = lru_cache(64)(self._border_swaps)
        self._blocks = lru_cache(64)(self._permuted_chunks)
        self._token_starts = lru_cache(64)(self._block_tokens)
        self._block = lru_cache(256)(self._permuted_block)

    def draw(self, step: int) -> Draw:
        """The global batch of a step (counted from 0)."""
        window, place = divmod(step, len(self._window))
        mixture = self._mixture(window)
        which = mixture[place]
        name = self._names[which]
        turn = window * self.streams[name].weight + int((mixture[:place] == which).sum())
        bucket, batch = self._bucket_of(name, turn)
        plan = self.streams[name].buckets[bucket]
        if isinstance(plan, PackedPlan):
            return self._packed_draw(step, name, bucket, batch)
        first = batch * plan.batch_size
        indices = self._places(name, bucket, first, plan.batch_size)
        return Draw(step, name, bucket, indices, first // plan.per_epoch)

    def _packed_draw(self, step: int, stream: str, bucket: str, turn: int) -> Draw:
        """The records that begin within a batch's window of its epoch's line of tokens."""
        plan = self.streams[stream].buckets[bucket]
        assert isinstance(plan, PackedPlan)
        epoch, batch = divmod(turn, plan.num_batches)
        first, last = plan.window(batch)
        starts = self._token_starts(stream, bucket, epoch)
        indices: list[int] = []
        tokens: list[int] = []
        for block in range(bisect_right(starts, first) - 1, bisect_left(starts, last)):
            records = self._block(stream, bucket, epoch, block)
            each = plan.tokens_of(records)
            begins = starts[block] + np.cumsum(each) - each
            chosen = (begins >= first) & (begins < last)
            indices += records[chosen].tolist()
            tokens += each[chosen].tolist()
        return Draw(step, stream, bucket, tuple(indices), epoch, tokens=tuple(tokens))

    def _block_tokens(self, stream: str, bucket: str, epoch: int) -> list[int]:
        """The token of an epoch's line at which each block of a packed bucket begins."""
        plan = self.streams[stream].buckets[bucket]
        assert isinstance(plan, PackedPlan)
        sizes = np.array(plan.chunk_sizes) * np.array(plan.chunk_tokens)
        blocks = self._blocks(stream, bucket, epoch)[0]
        return np.cumsum([0, *(int(sizes[b].sum()) for b in blocks)])[:-1].tolist()

    def _mixture_window(self, window: int) -> np.ndarray:
        """The streams of one window of steps, in keyed order."""
        return numpy_generator(self.seed, "data/mixture", window).permutation(self._window)

    def _batches_before(self, stream: str, epoch: int) -> dict[str, int]:
        """How many whole batches each bucket has given when `epoch` epochs are over."""
        return {
            b: epoch * p.per_epoch // p.batch_size for b, p in sorted(self.streams[stream].buckets.items())
        }

    def _epoch_turns(self, stream: str, epoch: int) -> tuple[list[str], np.ndarray]:
        """The buckets of one epoch of a stream, in keyed order."""
        before, after = self._batches_before(stream, epoch), self._batches_before(stream, epoch + 1)
        turns = np.repeat(np.arange(len(before)), [after[b] - before[b] for b in before])
        return list(before), numpy_generator(self.seed, f"data/buckets/{stream}", epoch).permutation(turns)

    def _bucket_of(self, stream: str, turn: int) -> tuple[str, int]:
        """Bucket, and the number of its batch, for the stream's batch number `turn`."""
        if len(self.streams[stream].buckets) == 1:
            return next(iter(self.streams[stream].buckets)), turn
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
        names, turns = self._turns(stream, low)
        place = turn - sum(before.values())
        which = turns[place]
        return names[which], before[names[which]] + int((turns[:place] == which).sum())

    def _places(self, stream: str, bucket: str, first: int, count: int) -> tuple[int, ...]:
        """Records at places first..first+count of the endless sequence of epochs."""
        per_epoch = self.streams[stream].buckets[bucket].per_epoch
        out = []
        for position in range(first, first + count):
            epoch, place = divmod(position, per_epoch)
            swapped = self._swaps(stream, bucket, epoch)
            out.append(swapped[place] if place in swapped else self._shuffled(stream, bucket, epoch, place))
        return tuple(out)

    def _border_swaps(self, stream: str, bucket: str, epoch: int) -> dict[int, int]:
        """Changes to an epoch's order that keep the batch across its beginning free of repeats.

        Records of the head that also stand in the tail of the epoch before trade places with records
        from the middle, which neither the head nor the tail of this epoch reaches. So no epoch's tail
        ever depends on the epoch before it.
        """
        plan = self.streams[stream].buckets[bucket]
        tail = epoch * plan.per_epoch % plan.batch_size
        if epoch == 0 or tail == 0:
            return {}
        end = plan.per_epoch
        seen = {self._shuffled(stream, bucket, epoch - 1, p) for p in range(end - tail, end)}
        swaps: dict[int, int] = {}
        partner = plan.batch_size
        for place in range(plan.batch_size - tail):
            record = self._shuffled(stream, bucket, epoch, place)
            if record not in seen:
                continue
            while self._shuffled(stream, bucket, epoch, partner) in seen:
                partner += 1
            assert partner < end - plan.batch_size
            swaps |= {place: self._shuffled(stream, bucket, epoch, partner), partner: record}
            partner += 1
        return swaps

    def _shuffled(self, stream: str, bucket: str, epoch: int, place: int) -> int:
        """Record at a place of an epoch's keyed permutation."""
        starts = self._blocks(stream, bucket, epoch)[1]
        block = bisect_right(starts, place) - 1
        return int(self._block(stream, bucket, epoch, block)[place - starts[block]])

    def _permuted_chunks(self, stream: str, bucket: str, epoch: int) -> tuple[list[np.ndarray], list[int]]:
        """Blocks of permuted chunk numbers, and the place at which each block begins."""
        sizes = np.array(self.streams[stream].buckets[bucket].chunk_sizes)
        order = numpy_generator(self.seed, f"data/chunks/{stream}/{bucket}", epoch).permutation(len(sizes))
        blocks = [order[i : i + self.shuffle_chunks] for i in range(0, len(order), self.shuffle_chunks)]
        return blocks, np.cumsum([0, *(int(sizes[b].sum()) for b in blocks)])[:-1].tolist()

    def _permuted_block(self, stream: str, bucket: str, epoch: int, block: int) -> np.ndarray:
        """Record numbers of one block's chunks, mixed."""
        sizes = self.streams[stream].buckets[bucket].chunk_sizes
        starts = np.cumsum([0, *sizes])
        chunks = self._blocks(stream, bucket, epoch)[0][block]
        records = np.concatenate([np.arange(starts[c], starts[c + 1]) for c in chunks])
        return numpy_generator(self.seed, f"data/records/{stream}/{bucket}", epoch, block).permutation(
            records
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.streams, self.seed, self.shuffle_chunks)


class ValidationPlan:
    """Every record once, in the order of the files, bucket by bucket; the same each time.

    The last batch of a bucket is filled up with repeats from its beginning, so that all ranks see
    equal shapes; `Draw.num_real` tells how many are not repeats.

    Args:
        limit: batches of each stream at most, spread over its buckets from the first on; 0 means all.
    """

    def __init__(self, streams: dict[str, StreamPlan], *, limit: int = 0) -> None:
        self.draws: list[Draw] = []
        for name, stream in sorted(streams.items()):
            rows = [
                (b, p, i)
                for b, p in sorted(stream.buckets.items())
                for i in range(0, p.records, p.batch_size)
            ]
            for bucket, plan, first in rows[: limit or None]:
                indices = tuple((first + i) % plan.records for i in range(plan.batch_size))
                real = min(plan.batch_size, plan.records - first)
                self.draws.append(Draw(len(self.draws), name, bucket, indices, num_real=real))

    def __len__(self) -> int:
        return len(self.draws)

    def draw(self, step: int) -> Draw:
        return self.draws[step]


def _rebuild(streams: dict[str, StreamPlan], seed: int, shuffle_chunks: int) -> BatchPlan:
    """Caches do not travel to worker processes."""
    return BatchPlan(streams, seed, shuffle_chunks=shuffle_chunks)
