"""Diagonal Gaussian posterior of the latent.

Legend: B batch, C channels, T frames, H height, W width.
"""

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor


@dataclass(frozen=True)
class Posterior:
    """Independent normal distributions of the values of a latent; both tensors are [B, C, T, H, W]."""

    mean_BCTHW: Tensor
    logvar_BCTHW: Tensor

    @classmethod
    def from_moments(cls, moments_BCTHW: Tensor, unit_std: float = 1.0) -> "Posterior":
        """Split 2C channels into mean and log-variance, clamped to [-30, 20] as in Latent Diffusion.

        Args:
            unit_std: standard deviation at a raw log-variance of 0.
        """
        mean, logvar = moments_BCTHW.float().chunk(2, 1)
        return cls(mean, (logvar + 2 * log(unit_std)).clamp(-30.0, 20.0))

    @property
    def std_BCTHW(self) -> Tensor:
        """Standard deviations [B, C, T, H, W]."""
        return torch.exp(0.5 * self.logvar_BCTHW)

    def sample(self, noise_BCTHW: Tensor) -> Tensor:
        """Return a sample, computed from standard normal noise of the latent's shape."""
        return self.mean_BCTHW + self.std_BCTHW * noise_BCTHW.to(self.mean_BCTHW)

    def mode(self) -> Tensor:
        """Return the most likely latent, the mean."""
        return self.mean_BCTHW

    def kl(self) -> Tensor:
        """Return the KL divergence from the standard normal in nats, summed over each latent; [B]."""
        logvar = self.logvar_BCTHW
        return 0.5 * (self.mean_BCTHW**2 + logvar.exp() - 1.0 - logvar).flatten(1).sum(1)
