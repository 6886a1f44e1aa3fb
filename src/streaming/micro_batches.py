"""Split a batch into micro-batches for gradient accumulation."""

from src.core.errors import UserError
from src.streaming.batch import Batch, LatentBatch
from src.streaming.buckets import balanced_partition


def split_batch(batch: Batch, num_parts: int) -> list[Batch]:
    """Return equal parts of a batch; of a packed one, parts of about as many tokens.

    Raises:
        UserError: the batch does not divide by `num_parts`, or is packed and has fewer samples.
    """
    if num_parts == 1:
        return [batch]
    size = len(batch)
    if isinstance(batch, LatentBatch) and batch.packed:
        if size < num_parts:
            raise UserError(
                f"train.num_micro_batches={num_parts} is more than a packed batch's {size} samples"
            )
        parts = balanced_partition([latent.numel() for latent in batch.mean_BCTHW], num_parts)
        return [batch.take(part) for part in parts]
    if size % num_parts:
        raise UserError(f"train.num_micro_batches={num_parts} does not divide a batch of {size} samples")
    step = size // num_parts
    return [batch.take(range(i, i + step)) for i in range(0, size, step)]
