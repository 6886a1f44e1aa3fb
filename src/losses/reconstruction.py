"""How far a reconstruction is from the film. Every term is a mean over all pixel values.

Legend: B batch, C channels, T frames, H height, W width.
"""

import torch
from torch import Tensor


def l1_loss(x_BCTHW: Tensor, target_BCTHW: Tensor) -> Tensor:
    """Mean absolute error, Latent Diffusion's reconstruction term; a scalar."""
    return (x_BCTHW - target_BCTHW).abs().mean()


def mse_loss(x_BCTHW: Tensor, target_BCTHW: Tensor) -> Tensor:
    """Mean squared error; a scalar."""
    return (x_BCTHW - target_BCTHW).square().mean()


def gradient_loss(x_BCTHW: Tensor, target_BCTHW: Tensor) -> Tensor:
    """Mean absolute error of the differences between neighbours along T, H and W; a scalar.

    It weighs edges and motion, of which a film has few pixels. An axis of length 1 adds nothing.
    """
    error_BCTHW = x_BCTHW - target_BCTHW
    axes = [error_BCTHW.diff(dim=d).abs().mean() for d in (2, 3, 4) if error_BCTHW.shape[d] > 1]
    return torch.stack(axes).sum() / 3 if axes else error_BCTHW.new_zeros(())


def psnr(x_BCTHW: Tensor, target_BCTHW: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each film in dB, for values in [-1, 1] (wider ones are clipped); [B].

    The squared error is averaged over the whole film before the logarithm; equal films give 100 dB.
    """
    error_B = (x_BCTHW.clamp(-1, 1) - target_BCTHW.clamp(-1, 1)).div(2).square().flatten(1).mean(1)
    return -10 * error_B.clamp_min(1e-10).log10()
