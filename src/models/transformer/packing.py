"""Samples of different sizes concatenated in one row of tokens, without padding.

Shapes: B samples, N and S their media and text tokens in total, L longest text, D hidden size.
"""

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from src.models.nn.attention_layers import PackedLengths
from src.models.nn.token_shards import TokenShards


@dataclass(frozen=True)
class Packing:
    """Number of media and of text tokens of each sample of a packed row.

    Args:
        shards: the part of the row that this process has; None: all of it.
    """

    media: tuple[int, ...]
    text: tuple[int, ...]
    shards: TokenShards | None = None

    def per_token(self, value_B1D: Tensor) -> Tensor:
        """Repeat the vector of each sample for each of its media tokens in this process's stream."""
        counts = self.media if self.shards is None else _overlaps(self.media, self.shards.stream)
        lengths = torch.tensor(counts, device=value_B1D.device)
        # With output_size known, repeat_interleave does not synchronize with the device.
        return value_B1D[:, 0].repeat_interleave(lengths, 0, output_size=sum(counts))[None]

    def media_lengths(self) -> PackedLengths:
        """Return the lengths for attention among media tokens."""
        return self._lengths(self.media)

    def text_lengths(self) -> PackedLengths:
        """Return the lengths for attention of media tokens to text tokens."""
        return self._lengths(self.text)

    def _lengths(self, keys: tuple[int, ...]) -> PackedLengths:
        if self.shards is None:
            return PackedLengths(self.media, keys)
        queries = _overlaps(self.media, self.shards.queries)
        found = [sample for sample, count in enumerate(queries) if count]
        # Of no queries the first sample's keys: the graph of the backward pass must reach the exchange
        # of keys and values on every process.
        first, end = (found[0], found[-1] + 1) if found else (0, 1)
        return PackedLengths(queries[first:end], keys[first:end], sum(keys[:first]))


def _overlaps(lengths: tuple[int, ...], part: slice) -> tuple[int, ...]:
    """Return how many tokens of each sample of a row are within a part of it."""
    ends = list(accumulate(lengths))
    return tuple(
        max(0, min(end, part.stop) - max(end - n, part.start)) for end, n in zip(ends, lengths, strict=True)
    )


def pack_text(context_BLD: Tensor, mask_BL: Tensor | None) -> tuple[Tensor, tuple[int, ...]]:
    """Return the texts without padding in one row [1, S, D], and the number of tokens of each."""
    if mask_BL is None:
        return context_BLD.flatten(0, 1)[None], (context_BLD.shape[1],) * context_BLD.shape[0]
    return context_BLD[mask_BL][None], tuple(mask_BL.sum(1).tolist())
