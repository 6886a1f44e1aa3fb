"""Number of records of a bucket, and how they are cut into batches: by number, or packed by tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import gcd

import numpy as np


@dataclass(frozen=True)
class BucketSpec:
    """One bucket of a stream: the number of records in each chunk, and the global batch size."""

    chunk_sizes: tuple[int, ...]
    batch_size: int

    @property
    def num_records(self) -> int:
        return sum(self.chunk_sizes)

    @property
    def per_epoch(self) -> int:
        """Records used in an epoch: all, or only full batches where there are fewer than three."""
        # a batch across the end of an epoch swaps repeats with the epoch's middle, which two batches lack
        full = self.num_records // self.batch_size * self.batch_size
        return self.num_records if self.num_records >= 3 * self.batch_size else full


@dataclass(frozen=True)
class PackedBucketSpec(BucketSpec):
    """Buckets of different sizes in one batch: as many records as a token budget holds.

    The records of an epoch are laid out on a line in their keyed order, each as long as its tokens,
    and this line is cut into `num_batches` equal windows; a record belongs to the window in which it
    begins. An epoch's tokens do not depend on the order, so any step's batch is found without
    counting through the batches before it, and an epoch takes every record exactly once. Windows are
    shorter than the budget by what the last record may reach over the end.

    Args:
        batch_size: the fewest records that a batch may hold.
        chunk_tokens: tokens of a record of each chunk.
        budget: tokens that no batch exceeds.

    Raises:
        ValueError: the budget is too small for `batch_size` records, or more than all records have.
    """

    chunk_tokens: tuple[int, ...]
    budget: int

    def __post_init__(self) -> None:
        most, total = max(self.chunk_tokens), self.epoch_tokens
        if total < self.budget:
            raise ValueError(
                f"tokens={self.budget} is more than the {total} tokens of all {self.num_records} records; "
                "use less, or prepare more data"
            )
        if self._window < 1 or total < self.batch_size * most * self.num_batches:
            raise ValueError(
                f"tokens={self.budget} does not always hold batch_size={self.batch_size} packed samples "
                f"of up to {most} tokens; tokens={(2 * self.batch_size + 1) * most} does, "
                "or a smaller batch_size"
            )

    @cached_property
    def epoch_tokens(self) -> int:
        return sum(n * t for n, t in zip(self.chunk_sizes, self.chunk_tokens, strict=True))

    @property
    def _window(self) -> int:
        """Tokens within which records may begin, so that none reaches beyond the budget."""
        unit = gcd(*self.chunk_tokens)
        return self.budget // unit * unit - max(self.chunk_tokens) + unit

    @cached_property
    def num_batches(self) -> int:
        """Batches in an epoch."""
        return -(-self.epoch_tokens // self._window)

    def window(self, batch: int) -> tuple[int, int]:
        """Return the tokens of the epoch's line, [first, last), within which a batch's records begin."""
        first, last = (-(-n * self.epoch_tokens // self.num_batches) for n in (batch, batch + 1))
        return first, last

    def tokens_of(self, records: np.ndarray) -> np.ndarray:
        """Return the tokens of records given by number."""
        chunks = np.searchsorted(np.cumsum(self.chunk_sizes), records, side="right")
        return np.array(self.chunk_tokens)[chunks]


def balanced_partition(sizes: Sequence[int], num_parts: int) -> list[list[int]]:
    """Return the indices of the items of each of several parts of about equal total size.

    The largest items are dealt first, forwards and backwards in turn: the parts' numbers of items differ
    by one at most, their sizes by one item's.
    """
    parts: list[list[int]] = [[] for _ in range(num_parts)]
    for place, item in enumerate(sorted(range(len(sizes)), key=lambda i: -sizes[i])):
        turn, seat = divmod(place, num_parts)
        parts[seat if turn % 2 == 0 else num_parts - 1 - seat].append(item)
    return [sorted(part) for part in parts]
