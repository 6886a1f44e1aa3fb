"""Samples of different sizes in one row of tokens, one behind the other: nothing is padded.

Shapes: B samples, N and S their media and text tokens in all, L longest text, D width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """Tokens of each sample, of the film and of its text."""

    media: tuple[int, ...]
    text: tuple[int, ...]

    def per_token(self, value_B1D: Tensor) -> Tensor:
        """One vector for each sample to one for each of its media tokens, [1, N, D]."""
        lengths = torch.tensor(self.media, device=value_B1D.device)
        return value_B1D[:, 0].repeat_interleave(lengths, 0, output_size=sum(self.media))[None]


def pack_text(context_BLD: Tensor, mask_BL: Tensor | None) -> tuple[Tensor, tuple[int, ...]]:
    """Texts without their padding in one row [1, S, D], and the tokens of each."""
    if mask_BL is None:
        return context_BLD.flatten(0, 1)[None], (context_BLD.shape[1],) * context_BLD.shape[0]
    return context_BLD[mask_BL][None], tuple(mask_BL.sum(1).tolist())
