"""Patches of a latent as tokens, and back.

Shapes: B batch, C channels, T frames, H rows, W columns of the latent; N tokens, P values per patch.
"""

from torch import Tensor


def token_grid(shape: tuple[int, ...], patch: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the number of tokens along (T, H, W) of a latent [..., T, H, W].

    Raises:
        ValueError: the patch size does not divide the latent's.
    """
    if any(size % step for size, step in zip(shape[-3:], patch, strict=True)):
        raise ValueError(f"patch {patch} does not divide a latent of {tuple(shape[-3:])} (T, H, W)")
    return shape[-3] // patch[0], shape[-2] // patch[1], shape[-1] // patch[2]


def to_patches(x_BCTHW: Tensor, patch: tuple[int, int, int]) -> Tensor:
    """Reshape [B, C, T, H, W] to [B, N, P], each patch ordered (C, kt, kh, kw) like the weight of a Conv3d.

    A linear layer on these equals a 3D convolution with the patch as kernel size and stride.
    """
    (kt, kh, kw), (t, h, w) = patch, token_grid(x_BCTHW.shape, patch)
    x: Tensor = x_BCTHW.unflatten(2, (t, kt)).unflatten(4, (h, kh)).unflatten(6, (w, kw))
    return x.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4).flatten(1, 3)


def from_patches(tokens_BNP: Tensor, grid: tuple[int, int, int], patch: tuple[int, int, int]) -> Tensor:
    """Reshape [B, N, P] to [B, C, T, H, W]: the inverse of `to_patches`."""
    x: Tensor = tokens_BNP.unflatten(1, grid).unflatten(-1, (-1, *patch))
    x = x.permute(0, 4, 1, 5, 2, 6, 3, 7)
    return x.flatten(6, 7).flatten(4, 5).flatten(2, 3)
