"""Number of records of a bucket, and how they are cut into batches: by number, or packed by tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class BucketSpec:
    """One bucket of a stream: the number of records in each chunk [K], and the global batch size."""

    chunk_sizes: np.ndarray
    batch_size: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "chunk_sizes", np.asarray(self.chunk_sizes, np.int64))

    @cached_property
    def num_records(self) -> int:
        return int(self.chunk_sizes.sum())

    @cached_property
    def per_epoch(self) -> int:
        """Number of records in an epoch: all, or only full batches if there are fewer than three."""
        # a batch across the end of an epoch swaps repeats with the epoch's middle, which two batches lack
        full = self.num_records // self.batch_size * self.batch_size
        return self.num_records if self.num_records >= 3 * self.batch_size else full


@dataclass(frozen=True, eq=False)
class PackedBucketSpec(BucketSpec):
    """Buckets of different sizes in one batch: as many records as fit a token budget.

    The records of an epoch, concatenated in their keyed order, form a sequence of tokens that is cut into
    `num_batches` equal windows; a record belongs to the window in which it begins. The length of the
    sequence does not depend on the order, so any step's batch is found without iterating over earlier
    batches, and an epoch has every record exactly once. Windows are shorter than the budget by what the
    last record may extend beyond the end.

    Args:
        batch_size: minimum number of records in a batch.
        chunk_tokens: tokens of a record of each chunk.
        budget: tokens that no batch exceeds.

    Raises:
        ValueError: the budget is too small for `batch_size` records, or more than all records have.
    """

    chunk_tokens: np.ndarray
    budget: int

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "chunk_tokens", np.asarray(self.chunk_tokens, np.int64))
        longest, total = int(self.chunk_tokens.max()), self.epoch_tokens
        if total < self.budget:
            raise ValueError(
                f"tokens={self.budget} is more than the {total} tokens of all {self.num_records} records; "
                "use less, or prepare more data"
            )
        if self._window < 1 or total < self.batch_size * longest * self.num_batches:
            raise ValueError(
                f"tokens={self.budget} does not always hold batch_size={self.batch_size} packed samples "
                f"of up to {longest} tokens; tokens={(2 * self.batch_size + 1) * longest} does, "
                "or a smaller batch_size"
            )

    @cached_property
    def epoch_tokens(self) -> int:
        return int((self.chunk_sizes * self.chunk_tokens).sum())

    @property
    def _window(self) -> int:
        """Number of tokens within which records may begin, so that none extends beyond the budget."""
        unit = int(np.gcd.reduce(self.chunk_tokens))
        return self.budget // unit * unit - int(self.chunk_tokens.max()) + unit

    @cached_property
    def num_batches(self) -> int:
        """Number of batches in an epoch."""
        return -(-self.epoch_tokens // self._window)

    def window(self, batch: int) -> tuple[int, int]:
        """Return the range [first, last) of the epoch's token sequence in which a batch's records begin."""
        first, last = (-(-n * self.epoch_tokens // self.num_batches) for n in (batch, batch + 1))
        return first, last


def balanced_partition(sizes: Sequence[int], num_parts: int) -> list[list[int]]:
    """Return the indices of the items of each of several parts of about equal total size.

    Items are assigned from the largest on, to the parts forwards and backwards alternately: numbers of items
    differ by at most one, total sizes by at most the size of one item.
    """
    parts: list[list[int]] = [[] for _ in range(num_parts)]
    for rank, item in enumerate(sorted(range(len(sizes)), key=lambda i: -sizes[i])):
        sweep, part = divmod(rank, num_parts)
        parts[part if sweep % 2 == 0 else num_parts - 1 - part].append(item)
    return [sorted(items) for items in parts]
