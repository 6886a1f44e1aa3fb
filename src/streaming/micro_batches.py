"""Cutting a batch into parts."""

from src.core.errors import UserError
from src.streaming.batch import Batch, LatentBatch
from src.streaming.buckets import deal


def split(batch: Batch, num_parts: int) -> list[Batch]:
    """Equal parts of a batch; of a packed one, parts of about as many tokens.

    Raises:
        UserError: the batch does not divide by `num_parts`; a packed one: has fewer films.
    """
    if num_parts == 1:
        return [batch]
    size = len(batch)
    if isinstance(batch, LatentBatch) and batch.packed:
        if size < num_parts:
            raise UserError(f"train.micro_batches={num_parts} is more than a packed batch's {size} films")
        return [batch.take(part) for part in deal([film.numel() for film in batch.mean_BCTHW], num_parts)]
    if size % num_parts:
        raise UserError(f"train.micro_batches={num_parts} does not divide a batch of {size} samples")
    step = size // num_parts
    return [batch.take(range(i, i + step)) for i in range(0, size, step)]
