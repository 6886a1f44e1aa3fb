"""Diagonal Gaussian posterior of audio latents.

Legend: B batch, C channels, L latent frames.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

MIN_STD = 1e-4


@dataclass(frozen=True)
class AudioPosterior:
    """Independent normal distributions of the values of a latent; both tensors are [B, C, L], float32."""

    mean_BCL: Tensor
    std_BCL: Tensor

    @classmethod
    def from_moments(cls, moments_BCL: Tensor) -> "AudioPosterior":
        """Split 2C channels into the mean and the raw scale; the deviation is softplus(scale) + 1e-4."""
        mean, scale = moments_BCL.float().chunk(2, 1)
        return cls(mean, F.softplus(scale) + MIN_STD)

    def sample(self, noise_BCL: Tensor) -> Tensor:
        """Return a sample, computed from standard normal noise of the latent's shape."""
        return self.mean_BCL + self.std_BCL * noise_BCL.to(self.mean_BCL)

    def mode(self) -> Tensor:
        """Return the most likely latent, the mean."""
        return self.mean_BCL

    def crop(self, start: int, stop: int) -> "AudioPosterior":
        """Return the posterior of frames start to stop."""
        return AudioPosterior(self.mean_BCL[..., start:stop], self.std_BCL[..., start:stop])

    def kl_frames(self) -> Tensor:
        """Return mu^2 + sigma^2 - log sigma^2 - 1, summed over the channels of each frame; [B, L].

        Twice the KL divergence from the standard normal in nats, as the DAC-VAE's authors define it.
        """
        variance = self.std_BCL.square()
        return (self.mean_BCL.square() + variance - variance.log() - 1).sum(1)
