"""The encoder's answer: a normal distribution for every value of the latent.

Legend: B batch, C channels, T frames, H height, W width.
"""

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor


@dataclass(frozen=True)
class Posterior:
    """Independent normal distributions. Both tensors are [B, C, T, H, W]."""

    mean_BCTHW: Tensor
    logvar_BCTHW: Tensor

    @classmethod
    def from_moments(cls, moments_BCTHW: Tensor, unit_std: float = 1.0) -> "Posterior":
        """Split 2C channels into mean and log-variance, the latter kept within [-30, 20] as LDM does.

        Args:
            unit_std: the standard deviation that a raw log-variance of 0 stands for.
        """
        mean, logvar = moments_BCTHW.float().chunk(2, 1)
        return cls(mean, (logvar + 2 * log(unit_std)).clamp(-30.0, 20.0))

    @property
    def std_BCTHW(self) -> Tensor:
        """Standard deviations."""
        return torch.exp(0.5 * self.logvar_BCTHW)

    def sample(self, noise_BCTHW: Tensor) -> Tensor:
        """A draw, made of standard normal noise of the latent's shape."""
        return self.mean_BCTHW + self.std_BCTHW * noise_BCTHW.to(self.mean_BCTHW)

    def mode(self) -> Tensor:
        """The likeliest latent: the mean."""
        return self.mean_BCTHW

    def kl(self) -> Tensor:
        """Divergence from the standard normal in nats, summed over each sample's latent; [B]."""
        logvar = self.logvar_BCTHW
        return 0.5 * (self.mean_BCTHW**2 + logvar.exp() - 1.0 - logvar).flatten(1).sum(1)
