"""Terms on the latent: divergence from the standard normal, and the outlier penalty (spec 1.2).

Legend: B batch, C channels, T frames, H height, W width, S = H * W positions, N = B * T latent frames.

Reduction. The paper gives the penalty's weight as 1e5 and Latent Diffusion the divergence's as 1e-6,
both beside a reconstruction error that Latent Diffusion *sums* over the pixel values of a sample. We
average it instead, so `per_pixel_value` divides both terms by the number of pixel values of a sample:
the published weights then mean what they meant there, at any size of film.
"""

import torch
from torch import Tensor


def per_pixel_value(term: Tensor, video_BCTHW: Tensor) -> Tensor:
    """A term that stands beside a summed reconstruction error, put beside an averaged one."""
    return term / video_BCTHW[0].numel()


def distances(latent_BCTHW: Tensor) -> tuple[Tensor, Tensor]:
    """Distance of every position from its frame's mean, [N, S]; norm of its frame's deviation, [N, 1]."""
    x_NSC = latent_BCTHW.float().permute(0, 2, 3, 4, 1).flatten(0, 1).flatten(1, 2)
    distance_NS = torch.linalg.vector_norm(x_NSC - x_NSC.mean(1, keepdim=True), dim=-1)
    # ||Std|| over channels is the root mean square of the distances, and that has a gradient at zero.
    deviation_N1 = torch.linalg.vector_norm(distance_NS, dim=1, keepdim=True) / distance_NS.shape[1] ** 0.5
    return distance_NS, deviation_N1


def outlier_penalty(latent_BCTHW: Tensor, r: float = 3.0) -> Tensor:
    """Outlier penalty loss (OPL): mean of max(||x_ij - Mean|| - r ||Std||, 0) over positions; a scalar.

    Mean and Std are per channel over the positions of one latent frame; time is folded into the batch, over
    which the frames' penalties are averaged.
    """
    distance_NS, deviation_N1 = distances(latent_BCTHW)
    return (distance_NS - r * deviation_N1).clamp_min(0).mean()


@torch.no_grad()
def outlier_fraction(latent_BCTHW: Tensor, r: float = 3.0) -> Tensor:
    """Share of latent positions farther than r standard deviations from their frame's mean; a scalar."""
    distance_NS, deviation_N1 = distances(latent_BCTHW)
    return (distance_NS > r * deviation_N1).float().mean()
