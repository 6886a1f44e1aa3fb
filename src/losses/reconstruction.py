"""Distances between a reconstruction and its video. Each loss is a mean over all pixel values.

Legend: B batch, C channels, T frames, H height, W width.
"""

import torch
from torch import Tensor


def l1_loss(x_BCTHW: Tensor, target_BCTHW: Tensor) -> Tensor:
    """Return the mean absolute error, the reconstruction term of Latent Diffusion; a scalar."""
    return (x_BCTHW - target_BCTHW).abs().mean()


def mse_loss(x_BCTHW: Tensor, target_BCTHW: Tensor) -> Tensor:
    """Return the mean squared error; a scalar."""
    return (x_BCTHW - target_BCTHW).square().mean()


def gradient_loss(x_BCTHW: Tensor, target_BCTHW: Tensor) -> Tensor:
    """Return the mean absolute error of finite differences along T, H and W; a scalar.

    It emphasizes edges and motion, which cover few pixels of a video. An axis of length 1 contributes 0.
    """
    error_BCTHW = x_BCTHW - target_BCTHW
    axes = [error_BCTHW.diff(dim=d).abs().mean() for d in (2, 3, 4) if error_BCTHW.shape[d] > 1]
    return torch.stack(axes).sum() / 3 if axes else error_BCTHW.new_zeros(())


def psnr(x: Tensor, target: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio in dB of each item of [N, ...], for values in [-1, 1]; [N].

    Values are clipped to that range; the squared error is averaged over an item before the logarithm. Equal
    items have 100 dB.
    """
    x, target = ((each.clamp(-1, 1) + 1) / 2 for each in (x, target))
    error_N = (x - target).square().flatten(1).mean(1).clamp(min=1e-10)
    return -10 * torch.log10(error_N)
