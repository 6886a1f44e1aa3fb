"""Configs of the audio codec and its discriminators; imports no torch. Defaults: Movie Gen, sec. 6."""

from dataclasses import dataclass
from math import prod
from typing import Literal

from src.core.fields import Config, opt

CodecKind = Literal["dac", "spectral"]


@dataclass(frozen=True, kw_only=True)
class DACConfig(Config):
    """Strided convolutions of the waveform, as in the Descript Audio Codec (DAC)."""

    strides: tuple[int, ...] = opt((2, 8, 10, 12), "strides of the encoder, first to last", ge=1)
    encoder_channels: int = opt(64, "channels after the first convolution; doubled at each stride", ge=1)
    hidden_channels: int = opt(1024, "channels on either side of the bottleneck", ge=1)
    decoder_channels: int = opt(1536, "channels before the decoder's first stride; halved at each", ge=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.decoder_channels % 2 ** len(self.strides):
            raise ValueError(
                f"decoder_channels={self.decoder_channels} cannot be halved {len(self.strides)} times"
            )


@dataclass(frozen=True, kw_only=True)
class SpectralConfig(Config):
    """Short-time spectra in, inverse transform out: several times cheaper than convolutions of samples."""

    hop: int = opt(1920, "samples in a latent frame", ge=1)
    frames: int = opt(8, "spectra in a latent frame", ge=1)
    frame_channels: int = opt(256, "channels at the rate of the spectra", ge=1)
    num_frame_blocks: int = opt(2, "ConvNeXt blocks at that rate, in each half", ge=0)
    hidden_channels: int = opt(384, "channels at the rate of the latent", ge=1)
    num_hidden_blocks: int = opt(2, "ConvNeXt blocks at that rate, in each half", ge=0)
    sample_channels: int = opt(128, "channels between the samples of a latent frame and its features", ge=1)
    tones_per_octave: int = opt(0, "tones that the decoder adds with levels of their own; 0: none", ge=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hop % (2 * self.frames):
            raise ValueError(f"hop={self.hop} must be a multiple of 2 * frames={2 * self.frames}")


@dataclass(frozen=True, kw_only=True)
class CodecConfig(Config):
    """An audio autoencoder with a variational bottleneck; the defaults are the paper's DAC-VAE."""

    kind: CodecKind = opt("dac", "dac: strided convolutions (the paper); spectral: STFT in, inverse STFT out")
    sample_rate: int = opt(48_000, "samples per second", ge=1)
    num_channels: int = opt(
        1, "1: each channel is coded by itself; 2: stereo pairs are coded together", ge=1, le=2
    )
    latent_channels: int = opt(128, "channels of the latent", ge=1)
    dac: DACConfig = opt(DACConfig(), "used by kind=dac")
    spectral: SpectralConfig = opt(SpectralConfig(), "used by kind=spectral")

    @property
    def hop(self) -> int:
        """Samples in a latent frame."""
        return prod(self.dac.strides) if self.kind == "dac" else self.spectral.hop

    @property
    def latent_rate(self) -> float:
        """Latent frames per second."""
        return self.sample_rate / self.hop

    def num_latent_frames(self, num_samples: int) -> int:
        """Return the latent frames of audio, whose last frame may be partly padding."""
        return -(-num_samples // self.hop)


@dataclass(frozen=True, kw_only=True)
class AudioDiscriminatorConfig(Config):
    """Multi-period and multi-resolution STFT discriminators; the defaults are DAC's."""

    periods: tuple[int, ...] = opt((2, 3, 5, 7, 11), "periods in samples; empty: none of this kind", ge=2)
    windows: tuple[int, ...] = opt(
        (2048, 1024, 512), "STFT windows in samples; empty: none of this kind", ge=8
    )
    period_channels: int = opt(32, "channels of the first layer over periods; at most 32 times as many", ge=1)
    stft_channels: int = opt(32, "channels of the layers over spectra", ge=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.periods and not self.windows:
            raise ValueError("periods and windows are both empty: name at least one discriminator")
