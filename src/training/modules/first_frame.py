"""What an image-to-video model is told of a film: its first frame, beside the latent (spec, section 6).

Legend: B batch, C channels, T frames, H height, W width (of the latent).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from src.streaming.batch import LatentBatch
from src.streaming.schema.bucket import DataError


def first_frames(batch: LatentBatch) -> Tensor | None:
    """Latents [B, C, 1, H, W] of the films' first frames, as the TAE encodes pictures; None for pictures.

    Raises:
        DataError: the latents were encoded without first frames.
    """
    if batch.mean_BCTHW.shape[2] == 1:
        return None
    if batch.first_BC1HW is None:
        raise DataError(
            f"stream {batch.stream}: its latents hold no first frames; encode them with first_frames=true"
        )
    return batch.first_BC1HW


def known_channels(first_BC1HW: Tensor | None, shape: Sequence[int], given_B: Tensor) -> Tensor:
    """The model's further channels [B, C + 1, T, H, W]: a latent, and 1 where it is known; else zeros.

    Args:
        first_BC1HW: normalised latents of first frames; None: nothing is known.
        shape: of the films' latents.
        given_B: bool, the samples that are given theirs.
    """
    known = torch.zeros(shape[0], shape[1] + 1, *shape[2:], device=given_B.device)
    if first_BC1HW is not None:
        given = given_B.float()[:, None, None, None]
        known[:, :-1, 0] = first_BC1HW[:, :, 0] * given
        known[:, -1, 0] = given[:, 0]
    return known
