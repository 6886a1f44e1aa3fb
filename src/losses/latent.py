"""Loss terms of the latent: KL divergence and outlier penalty (Movie Gen, sec. 3.1.1).

Legend: B batch, C channels, T frames, H height, W width, S = H * W positions, N = B * T latent frames.

Reduction: the published weights, 1e5 of the penalty (the paper) and 1e-6 of the KL (Latent Diffusion), belong
to a reconstruction error *summed* over pixel values. Ours is averaged, so `per_pixel_value` divides the KL,
which grows with the length of a video, by the pixel values of the video, and the penalty, which is that of
one frame, by those of one frame: published weights keep their meaning at any size and length.
"""

import torch
from torch import Tensor


def per_pixel_value(term: Tensor, pixels: Tensor) -> Tensor:
    """Rescale a term with a weight for a summed reconstruction error to one for an averaged error.

    Args:
        pixels: pixels that the term belongs to: a video [C, T, H, W] or a frame [C, H, W].
    """
    return term / pixels.numel()


def spatial_deviations(latent_BCTHW: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distance of each position from its frame's mean, [N, S], and the frame's ||Std||, [N, 1]."""
    x_NSC = latent_BCTHW.float().permute(0, 2, 3, 4, 1).flatten(0, 1).flatten(1, 2)
    distance_NS = torch.linalg.vector_norm(x_NSC - x_NSC.mean(1, keepdim=True), dim=-1)
    # ||Std|| over channels equals the RMS of the distances, whose gradient is finite at zero.
    deviation_N1 = torch.linalg.vector_norm(distance_NS, dim=1, keepdim=True) / distance_NS.shape[1] ** 0.5
    return distance_NS, deviation_N1


def outlier_penalty(latent_BCTHW: Tensor, r: float = 3.0) -> Tensor:
    """Return the outlier penalty loss (OPL), the mean of max(||x_ij - Mean|| - r ||Std||, 0); a scalar.

    Mean and Std are per channel over the positions of one latent frame; the penalty is averaged over
    positions, frames and samples.
    """
    distance_NS, deviation_N1 = spatial_deviations(latent_BCTHW)
    return (distance_NS - r * deviation_N1).clamp_min(0).mean()


@torch.no_grad()
def outlier_fraction(latent_BCTHW: Tensor, r: float = 3.0) -> Tensor:
    """Return the fraction of positions beyond r standard deviations from their frame's mean; a scalar."""
    distance_NS, deviation_N1 = spatial_deviations(latent_BCTHW)
    return (distance_NS > r * deviation_N1).float().mean()
