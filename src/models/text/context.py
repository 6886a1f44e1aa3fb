"""Text tokens for cross-attention, from any encoder.

Shapes: B batch, L text tokens, D dimension.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class TextContext:
    """Text tokens and their padding mask."""

    tokens_BLD: Tensor
    mask_BL: Tensor  # bool, False at padding; at least one True in each row


def join_batches(first: TextContext, second: TextContext) -> TextContext:
    """Concatenate two batches, the shorter texts padded; classifier-free guidance needs both in one batch."""
    length = max(first.tokens_BLD.shape[1], second.tokens_BLD.shape[1])
    parts = [_pad(context, length) for context in (first, second)]
    tokens = torch.cat([part.tokens_BLD for part in parts])
    return TextContext(tokens, torch.cat([part.mask_BL for part in parts]))


def _pad(context: TextContext, length: int) -> TextContext:
    missing = length - context.tokens_BLD.shape[1]
    return TextContext(F.pad(context.tokens_BLD, (0, 0, 0, missing)), F.pad(context.mask_BL, (0, missing)))


def drop_captions(captions: list[str], uniform_B: Tensor, prob: float) -> list[str]:
    """Replace captions by the empty one, the null condition, with a probability.

    Args:
        uniform_B: one number in [0, 1) per caption, from a keyed generator.
        prob: probability of dropping a caption, in [0, 1].
    """
    return ["" if u < prob else caption for caption, u in zip(captions, uniform_B.tolist(), strict=True)]
