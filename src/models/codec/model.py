"""The audio codec: encoder, variational bottleneck, decoder (Movie Gen, sec. 6).

Legend: B batch, C channels, S samples, L latent frames.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from src.models.codec.config import CodecConfig, CodecKind
from src.models.codec.dac import DACDecoder, DACEncoder
from src.models.codec.layers import Conv1d, reflect_pad
from src.models.codec.posterior import AudioPosterior
from src.models.codec.spectral import SpectralDecoder, SpectralEncoder

SMALL_SCALE = -3.0  # raw scale at initialization: softplus of it is 0.05


@dataclass(frozen=True)
class CodecOutput:
    """A reconstruction, its latent, and the posterior that the latent comes from."""

    audio_BCS: Tensor
    latent_BCL: Tensor
    posterior: AudioPosterior


class Moments(nn.Conv1d):
    """1x1 convolution to means and raw scales; starts with means of unit variance and small deviations.

    A deviation that starts near 1 drowns the means in noise until hundreds of steps have shrunk it.
    """

    def __init__(self, hidden_channels: int, latent_channels: int) -> None:
        super().__init__(hidden_channels, 2 * latent_channels, 1)

    def reset_parameters(self) -> None:
        mean, scale = self.weight.detach().chunk(2)
        nn.init.normal_(mean, std=self.in_channels**-0.5)
        nn.init.normal_(scale, std=0.1 * self.in_channels**-0.5)
        assert self.bias is not None
        means, scales = self.bias.detach().chunk(2)
        nn.init.zeros_(means)
        nn.init.constant_(scales, SMALL_SCALE)


class FromLatent(nn.Conv1d):
    """1x1 convolution that starts with features of unit variance."""

    def __init__(self, latent_channels: int, hidden_channels: int) -> None:
        super().__init__(latent_channels, hidden_channels, 1)

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=self.in_channels**-0.5)
        assert self.bias is not None
        nn.init.zeros_(self.bias)


class Bottleneck(nn.Module):
    """1x1 convolutions to the posterior's moments, and from a latent back to features.

    Those of kind=dac have weight normalization, as the rest of that structure.
    """

    def __init__(self, kind: CodecKind, hidden_channels: int, latent_channels: int) -> None:
        super().__init__()
        self.in_proj: nn.Module
        self.out_proj: nn.Module
        if kind == "dac":
            self.in_proj = Conv1d(hidden_channels, 2 * latent_channels, 1)
            self.out_proj = Conv1d(latent_channels, hidden_channels, 1)
        else:
            self.in_proj = Moments(hidden_channels, latent_channels)
            self.out_proj = FromLatent(latent_channels, hidden_channels)


class Codec(nn.Module):
    """Audio [B, C, S] in [-1, 1] at `config.sample_rate`, of any length, to a latent [B, C, L] and back.

    The last latent frame covers the rest of the audio and its reflection; decoding to `num_samples` crops it.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.num_channels
        self.encoder: DACEncoder | SpectralEncoder
        self.decoder: DACDecoder | SpectralDecoder
        if config.kind == "dac":
            self.encoder, self.decoder = DACEncoder(config.dac, channels), DACDecoder(config.dac, channels)
            hidden = config.dac.hidden_channels
        else:
            self.encoder = SpectralEncoder(config.spectral, channels)
            self.decoder = SpectralDecoder(config.spectral, channels)
            hidden = config.spectral.hidden_channels
        self.bottleneck = Bottleneck(config.kind, hidden, config.latent_channels)

    def encode(self, audio_BCS: Tensor) -> AudioPosterior:
        """Return the posterior of the latent.

        Raises:
            ValueError: the audio has no samples, or other channels than the codec.
        """
        self._check_audio(audio_BCS)
        features = self.encoder(reflect_pad(audio_BCS, self.config.hop))
        return AudioPosterior.from_moments(self.bottleneck.in_proj(features))

    def decode(self, latent_BCL: Tensor, num_samples: int | None = None) -> Tensor:
        """Return audio [B, C, L * hop], float32, or its first `num_samples`."""
        audio_BCS: Tensor = self.decoder(self.bottleneck.out_proj(latent_BCL)).float()
        return audio_BCS if num_samples is None else audio_BCS[..., :num_samples]

    def forward(self, audio_BCS: Tensor, noise_BCL: Tensor | None = None) -> CodecOutput:
        """Reconstruct, from a sample of the posterior if noise is given, else from its mean."""
        posterior = self.encode(audio_BCS)
        latent = posterior.mode() if noise_BCL is None else posterior.sample(noise_BCL)
        return CodecOutput(self.decode(latent, audio_BCS.shape[-1]), latent, posterior)

    def latent_shape(self, num_samples: int) -> tuple[int, int]:
        """Return (C, L) of the latent of audio."""
        return self.config.latent_channels, self.config.num_latent_frames(num_samples)

    def shard_groups(self) -> list[nn.Module]:
        """Return the submodules to shard one by one, inner ones first; the root shards the rest."""
        groups = [*self.encoder.blocks(), self.encoder, *self.decoder.blocks(), self.decoder]
        return [g for g in groups if any(True for _ in g.parameters())]

    def _check_audio(self, audio_BCS: Tensor) -> None:
        shape, channels = tuple(audio_BCS.shape), self.config.num_channels
        if len(shape) != 3 or shape[1] != channels:
            raise ValueError(f"audio must be [batch, {channels}, samples], got shape {shape}")
        if 0 in shape:
            raise ValueError(f"audio without samples: shape {shape}")


@torch.no_grad()
def count_parameters(config: CodecConfig) -> int:
    """Return the number of parameters, counted on the meta device."""
    with torch.device("meta"):
        return sum(p.numel() for p in Codec(config).parameters())
