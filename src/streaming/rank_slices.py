"""Parts of a global batch: which samples each process has; needs no torch.

The batch is that of the config for any number of processes. Where it does not divide equally, parts differ by
one sample, and each process's loss is weighted by its number of samples: the gradient stays the mean over
all of them.
"""

from src.streaming.schema.bucket import DataError


def slice_of(num_samples: int, num_ranks: int, rank: int) -> range:
    """Return the indices of a rank's samples in a global batch."""
    return range(rank * num_samples // num_ranks, (rank + 1) * num_samples // num_ranks)


def largest_slice(num_samples: int, num_ranks: int) -> int:
    """Return the number of samples of the rank that has most."""
    return -(-num_samples // num_ranks)


def loss_weight(load: int, num_samples: int, num_ranks: int) -> float:
    """Return the weight of a rank's mean loss, such that the mean over ranks is the mean over samples."""
    return load * num_ranks / num_samples


def check_slices(key: str, num_samples: int, num_ranks: int, tokens_each: int = 0) -> None:
    """Check that every rank gets a sample of each batch.

    Args:
        key: of the stream, such as "data.streams.videos".
        num_ranks: processes that read different samples; those of one context or tensor parallel group
            count once.
        tokens_each: tokens of a sample, where the batch is given in tokens; else 0.

    Raises:
        DataError: some rank gets none; the message says what would.
    """
    if num_samples >= num_ranks:
        return
    setting = f"tokens={num_ranks * tokens_each}" if tokens_each else f"batch_size={num_ranks}"
    raise DataError(
        f"{key}: a batch of {num_samples} samples leaves some of {num_ranks} processes without one; use "
        f"{key}.{setting}, or let only {num_samples} processes read different samples: fewer devices, or "
        "train.parallel.context_parallel or tensor_parallel, whose processes share samples"
    )
