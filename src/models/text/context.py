"""What cross-attention reads, wherever it comes from.

Shapes: B batch, L text tokens, D dimension.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class TextContext:
    """Text tokens and where they are real."""

    tokens_BLD: Tensor
    mask_BL: Tensor  # bool, True where a token is real; at least one in each row


def join_batches(first: TextContext, second: TextContext) -> TextContext:
    """Two batches of texts as one batch, the shorter padded; classifier-free guidance needs this."""
    length = max(first.tokens_BLD.shape[1], second.tokens_BLD.shape[1])
    parts = [_pad(context, length) for context in (first, second)]
    tokens = torch.cat([part.tokens_BLD for part in parts])
    return TextContext(tokens, torch.cat([part.mask_BL for part in parts]))


def _pad(context: TextContext, length: int) -> TextContext:
    missing = length - context.tokens_BLD.shape[1]
    return TextContext(F.pad(context.tokens_BLD, (0, 0, 0, missing)), F.pad(context.mask_BL, (0, missing)))


def drop_captions(captions: list[str], uniform_B: Tensor, prob: float) -> list[str]:
    """Captions with some replaced by the empty one, the null condition.

    Args:
        uniform_B: one number in [0, 1) for each caption, from a keyed generator.
        prob: share of captions to drop, in [0, 1].
    """
    return ["" if u < prob else caption for caption, u in zip(captions, uniform_B.tolist(), strict=True)]
