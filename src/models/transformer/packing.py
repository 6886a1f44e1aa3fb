"""Samples of different sizes concatenated in one row of tokens, without padding.

Shapes: B samples, N and S their media and text tokens in total, L longest text, D hidden size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """Number of media and of text tokens of each sample of a packed row."""

    media: tuple[int, ...]
    text: tuple[int, ...]

    def per_token(self, value_B1D: Tensor) -> Tensor:
        """Repeat the vector of each sample for each of its media tokens, [1, N, D]."""
        lengths = torch.tensor(self.media, device=value_B1D.device)
        # With output_size known, repeat_interleave does not synchronize with the device.
        return value_B1D[:, 0].repeat_interleave(lengths, 0, output_size=sum(self.media))[None]


def pack_text(context_BLD: Tensor, mask_BL: Tensor | None) -> tuple[Tensor, tuple[int, ...]]:
    """Return the texts without padding in one row [1, S, D], and the number of tokens of each."""
    if mask_BL is None:
        return context_BLD.flatten(0, 1)[None], (context_BLD.shape[1],) * context_BLD.shape[0]
    return context_BLD[mask_BL][None], tuple(mask_BL.sum(1).tolist())
