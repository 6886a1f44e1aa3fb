"""Split a batch into micro-batches for gradient accumulation."""

from src.streaming.batch import Batch, LatentBatch
from src.streaming.buckets import balanced_partition
from src.streaming.rank_slices import slice_of


def split_batch(batch: Batch, num_parts: int) -> list[Batch]:
    """Return parts of a batch that differ by one sample at most; packed, of about as many tokens.

    There are fewer than `num_parts` where a process has fewer samples, and as many on each: as many as the
    one with the fewest samples of the global batch can have.
    """
    size = len(batch)
    num_parts = min(num_parts, batch.smallest_slice or size)
    if num_parts == 1:
        return [batch]
    if isinstance(batch, LatentBatch) and batch.packed:
        parts = balanced_partition([latent.numel() for latent in batch.mean_BCTHW], num_parts)
        return [batch.take(part) for part in parts]
    return [batch.take(slice_of(size, num_parts, part)) for part in range(num_parts)]
