"""The order of one bucket's records, or of one virtual shard's: epoch after epoch, each record once in each.

An epoch is a sequence of groups of at most 10,000 chunks; chunks are permuted within a group, then records
among `shuffle_chunks` neighboring chunks, so that a batch touches few files. Most buckets are one group.
Larger ones go group by group, in the order of a keyed bijection: no table grows with the data set, and any
step's records are found in the time of one group.

Legend: K chunks, R records of one block of chunks.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from src.core.rng import numpy_generator
from src.streaming.bijection import permuted_indices
from src.streaming.buckets import BucketSpec, PackedBucketSpec
from src.streaming.schema.dataset_index import MAX_CHUNKS

Block = tuple[int, int]  # a group, and the number of the block in its permuted chunks


@dataclass(frozen=True)
class Blocks:
    """A group's chunks in an epoch's order, cut into blocks."""

    chunks_K: np.ndarray
    starts: np.ndarray  # of each block, in the epoch's sequence of records (packed: of tokens), and the end


class EpochOrder:
    """Record numbers at any position of the endless sequence of epochs.

    Args:
        spec: the chunks, and how batches are cut.
        first_records_K: number of the first record of each chunk.
        name: names the order's key, such as "videos/16x32x32".
        shuffle_chunks: neighboring chunks, after permuting them, that records are mixed over.
        max_chunks: of a group.
    """

    def __init__(
        self,
        spec: BucketSpec,
        first_records_K: np.ndarray,
        seed: int,
        name: str,
        *,
        shuffle_chunks: int,
        max_chunks: int = MAX_CHUNKS,
    ) -> None:
        self.spec, self.seed, self.name, self.shuffle_chunks = spec, seed, name, shuffle_chunks
        self._first_records_K = first_records_K
        self._weights_K = spec.chunk_sizes
        if isinstance(spec, PackedBucketSpec):
            self._weights_K = spec.chunk_sizes * spec.chunk_tokens
        num_chunks = len(spec.chunk_sizes)
        num_groups = -(-num_chunks // max_chunks)
        self._bounds = np.arange(num_groups + 1) * num_chunks // num_groups
        self._group_weights = np.add.reduceat(self._weights_K, self._bounds[:-1], dtype=np.int64)
        # Caches only save time: a batch needs a few blocks, of two epochs at most.
        self._groups = lru_cache(4)(self._permuted_groups)
        self._blocks = lru_cache(4)(self._permuted_chunks)
        self._block = lru_cache(8)(self._permuted_block)
        self._swaps = lru_cache(4)(self._border_swaps)

    def records(self, first: int, count: int) -> np.ndarray:
        """Return records first .. first + count of the endless sequence."""
        out = []
        while count > 0:
            epoch, begin = divmod(first, self.spec.per_epoch)
            end = min(begin + count, self.spec.per_epoch)
            part = self._shuffled(epoch, begin, end)
            for index, record in self._swaps(epoch).items():
                if begin <= index < end:
                    part[index - begin] = record
            out.append(part)
            first, count = first + end - begin, count - (end - begin)
        return np.concatenate(out) if out else np.zeros(0, np.int64)

    def packed_records(self, number: int) -> tuple[int, np.ndarray, np.ndarray]:
        """Return the epoch, the records that begin in a batch's window of it, and their tokens."""
        spec = self.spec
        assert isinstance(spec, PackedBucketSpec)
        epoch, batch = divmod(number, spec.num_batches)
        first, last = spec.window(batch)
        records, tokens = [], []
        # Only blocks that the window touches are permuted: a step costs the same anywhere in an epoch.
        for block, start in self._touched(epoch, first, last):
            records_R, tokens_R = self._block(epoch, block)
            begins_R = start + np.cumsum(tokens_R) - tokens_R
            chosen_R = (begins_R >= first) & (begins_R < last)
            records.append(records_R[chosen_R])
            tokens.append(tokens_R[chosen_R])
        return epoch, np.concatenate(records), np.concatenate(tokens)

    def _border_swaps(self, epoch: int) -> dict[int, int]:
        """Return changes to an epoch's order that keep the batch across its beginning free of repeats.

        Records of the head that also occur in the tail of the previous epoch are swapped with records from
        the middle, which is in neither the head nor the tail of this epoch. So an epoch's tail does not
        depend on the previous epoch.
        """
        spec = self.spec
        tail = epoch * spec.per_epoch % spec.batch_size
        if epoch == 0 or tail == 0:
            return {}
        end = spec.per_epoch
        seen = set(self._shuffled(epoch - 1, end - tail, end).tolist())
        swaps: dict[int, int] = {}
        # Partners start after the first batch and end before the last one: `BucketSpec.per_epoch` allows
        # partial batches only for buckets of three batches or more, so there are always enough.
        partner = spec.batch_size
        head = self._shuffled(epoch, 0, spec.batch_size - tail).tolist()
        for index in [i for i, record in enumerate(head) if record in seen]:
            while (other := int(self._shuffled(epoch, partner, partner + 1)[0])) in seen:
                partner += 1
            assert partner < end - spec.batch_size
            swaps |= {index: other, partner: head[index]}
            partner += 1
        return swaps

    def _shuffled(self, epoch: int, begin: int, end: int) -> np.ndarray:
        """Return a stretch of an epoch's keyed permutation of the records."""
        parts = []
        for block, start in self._touched(epoch, begin, end):
            records_R = self._block(epoch, block)[0]
            parts.append(records_R[max(begin - start, 0) : end - start])
        return np.concatenate(parts)

    def _touched(self, epoch: int, begin: int, end: int) -> list[tuple[Block, int]]:
        """Return the blocks with a position in begin .. end of an epoch, and where each starts."""
        order, starts = self._groups(epoch)
        out: list[tuple[Block, int]] = []
        for g in range(int(np.searchsorted(starts, begin, "right")) - 1, len(order)):
            if starts[g] >= end:
                break
            inside = starts[g] + self._blocks(epoch, int(order[g])).starts
            first = max(int(np.searchsorted(inside, begin, "right")) - 1, 0)
            last = min(int(np.searchsorted(inside, end, "left")), len(inside) - 1)
            out += [((int(order[g]), n), int(inside[n])) for n in range(first, last)]
        return out

    def _permuted_groups(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the groups in an epoch's order, and the position at which each begins."""
        count = len(self._group_weights)
        order = np.arange(count)
        if count > 1:
            order = permuted_indices(order, count, self.seed, f"data/groups/{self.name}", epoch)
        return order, np.concatenate([[0], np.cumsum(self._group_weights[order])[:-1]])

    def _permuted_chunks(self, epoch: int, group: int) -> Blocks:
        """Return a group's chunks in keyed order, and the position, within the group, of each block."""
        begin, end = self._bounds[group], self._bounds[group + 1]
        generator = numpy_generator(self.seed, f"data/chunks/{self.name}", epoch, *self._counter(group))
        chunks_K = begin + generator.permutation(end - begin)
        # Two levels (chunks, then records of a few chunks): a full permutation of records would open a
        # file for every sample.
        heads = np.arange(0, len(chunks_K), self.shuffle_chunks)
        sizes = np.add.reduceat(self._weights_K[chunks_K], heads, dtype=np.int64)
        return Blocks(chunks_K, np.concatenate([[0], np.cumsum(sizes)]))

    def _permuted_block(self, epoch: int, block: Block) -> tuple[np.ndarray, np.ndarray]:
        """Return the record numbers of one block's chunks, mixed, [R], and what each weighs."""
        group, number = block
        all_K = self._blocks(epoch, group).chunks_K
        chunks = all_K[number * self.shuffle_chunks : (number + 1) * self.shuffle_chunks]
        sizes = self.spec.chunk_sizes[chunks]
        firsts_R = np.repeat(self._first_records_K[chunks] - (np.cumsum(sizes) - sizes), sizes)
        records_R = firsts_R + np.arange(len(firsts_R))
        weights_R = np.repeat(self._weights_K[chunks] // np.maximum(sizes, 1), sizes)
        stream = f"data/records/{self.name}"
        order_R = numpy_generator(self.seed, stream, epoch, *self._counter(group), number).permutation(
            len(records_R)
        )
        return records_R[order_R], weights_R[order_R]

    def _counter(self, group: int) -> tuple[int, ...]:
        return (group,) if len(self._group_weights) > 1 else ()
