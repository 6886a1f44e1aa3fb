"""Encoder and decoder over short-time spectra: STFT frames in, inverse STFT out.

Convolutions run at the rate of spectra (200 per second) and of the latent (25 per second) instead of 48,000
samples per second, which costs a CPU 5 to 10 times less. The structure is Vocos' (Siuzdak 2023) in both
directions. Spectra are not centered: N * hop samples give exactly N spectra, so that a stream cut at frames
has the spectra of the complete signal.

Linear layers also see the samples of each latent frame and its borders, and others add samples
to the output. Tones have the same phase in all spectra of a frame there, which spectra one by one
take far longer to learn. With `tones_per_octave` the encoder also sees how far each narrow band stands
out, and the decoder adds tones of fixed frequencies whose levels it sets. A tone that is missing from
noise gets no gradient from distances of magnitudes: they push along the phase of the noise, another one
each time. Tones that always sound, however softly, need only grow.

Legend: B batch, C channels, S samples, N spectra, K features of a spectrum or tones, L latent frames,
W window, J spectra in a latent frame.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.codec.config import SpectralConfig
from src.models.codec.spectra import (
    HOPS,
    inverse_spectra,
    lapped_frames,
    overlap_frames,
    spectral_features,
    tone_bank,
    tone_cycles,
    tone_levels,
)

MAX_LOG_MAGNITUDE = 6.0
QUIET = -2.0  # log magnitude at initialization, times a random direction
QUIET_SAMPLES = -4.0  # the same for samples
QUIET_TONE = -7.0  # log amplitude of the tones at initialization
MAX_LOG_AMPLITUDE = 0.0
KERNEL = 7
EXPANSION = 4


class Linear(nn.Linear):
    """Linear layer with a normal initialization, small as in ConvNeXt, and zero bias."""

    def __init__(self, in_features: int, out_features: int, std: float = 0.02) -> None:
        self.std = std
        super().__init__(in_features, out_features)

    def reset_parameters(self) -> None:
        nn.init.trunc_normal_(self.weight, std=self.std)
        nn.init.zeros_(self.bias)


class LayerScale(nn.Module):
    """A gain per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.constant_(self.gain, 0.3)

    def forward(self, x_BNK: Tensor) -> Tensor:
        return x_BNK * self.gain


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then an MLP at each position, with a residual connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, KERNEL, padding=KERNEL // 2, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.up = Linear(channels, EXPANSION * channels)
        self.down = Linear(EXPANSION * channels, channels)
        self.scale = LayerScale(channels)

    def forward(self, x_BNK: Tensor) -> Tensor:
        h_BNK = self.norm(self.conv(x_BNK.transpose(1, 2)).transpose(1, 2))
        out: Tensor = x_BNK + self.scale(self.down(F.gelu(self.up(h_BNK))))
        return out


class SpectralEncoder(nn.Module):
    """Map audio [B, C, S] to features [B, hidden, S / hop]."""

    def __init__(self, config: SpectralConfig, in_channels: int) -> None:
        super().__init__()
        self.config, c = config, config
        self.hop = c.hop // c.frames
        num_features = 3 * in_channels * (HOPS * self.hop // 2 + 1)
        self.patch_embed = Linear(num_features, c.frame_channels)
        self.frame_blocks = nn.ModuleList(ConvNeXtBlock(c.frame_channels) for _ in range(c.num_frame_blocks))
        self.downsample = Linear(c.frames * c.frame_channels, c.hidden_channels)
        self.from_samples = nn.Sequential(
            Linear(2 * in_channels * c.hop, c.sample_channels),
            Linear(c.sample_channels, c.hidden_channels, c.sample_channels**-0.5),
        )
        self.tone_cycles = tone_cycles(c.tones_per_octave, c.hop)
        num_levels = 2 * in_channels * len(self.tone_cycles)
        self.from_tones = Linear(num_levels, c.hidden_channels, num_levels**-0.5) if num_levels else None
        self.hidden_blocks = nn.ModuleList(
            ConvNeXtBlock(c.hidden_channels) for _ in range(c.num_hidden_blocks)
        )
        self.norm_out = nn.LayerNorm(c.hidden_channels)

    def forward(self, audio_BCS: Tensor) -> Tensor:
        x_BNK = self.patch_embed(spectral_features(audio_BCS, self.hop))
        for block in self.frame_blocks:
            x_BNK = block(x_BNK)
        x_BLK = self.downsample(x_BNK.unflatten(1, (-1, self.config.frames)).flatten(2))
        x_BLK = x_BLK + self.from_samples(lapped_frames(audio_BCS, self.config.hop))
        if self.from_tones is not None:
            x_BLK = x_BLK + self.from_tones(tone_levels(audio_BCS, self.tone_cycles, self.config.hop))
        for block in self.hidden_blocks:
            x_BLK = block(x_BLK)
        out: Tensor = self.norm_out(x_BLK).transpose(1, 2)
        return out

    def blocks(self) -> list[nn.Module]:
        return [*self.frame_blocks, *self.hidden_blocks]

    def context_frames(self) -> int:
        """Return the latent frames of audio on each side that a latent frame depends on."""
        return _context_frames(self.config)


class SpectralDecoder(nn.Module):
    """Map features [B, hidden, L] to audio [B, C, L * hop]."""

    def __init__(self, config: SpectralConfig, out_channels: int) -> None:
        super().__init__()
        self.config, c = config, config
        self.hop, self.out_channels = c.hop // c.frames, out_channels
        self.hidden_blocks = nn.ModuleList(
            ConvNeXtBlock(c.hidden_channels) for _ in range(c.num_hidden_blocks)
        )
        self.norm_samples = nn.LayerNorm(c.hidden_channels)
        self.to_samples = nn.Sequential(
            Linear(c.hidden_channels, c.sample_channels, c.hidden_channels**-0.5),
            Linear(c.sample_channels, 2 * out_channels * c.hop),
        )
        self.to_level = Linear(c.hidden_channels, out_channels)
        self.upsample = Linear(c.hidden_channels, c.frames * c.frame_channels)
        self.frame_blocks = nn.ModuleList(ConvNeXtBlock(c.frame_channels) for _ in range(c.num_frame_blocks))
        self.norm_out = nn.LayerNorm(c.frame_channels)
        self.proj_out = Linear(c.frame_channels, 3 * out_channels * (HOPS * self.hop // 2 + 1))
        self.tone_cycles = tone_cycles(c.tones_per_octave, c.hop)
        num_tones = out_channels * len(self.tone_cycles)
        self.to_tones = Linear(c.hidden_channels, num_tones, c.hidden_channels**-0.5) if num_tones else None
        self.proj_out_tones = Linear(c.frame_channels, num_tones) if num_tones else None

    def forward(self, features_BCL: Tensor) -> Tensor:
        x_BLK = features_BCL.transpose(1, 2)
        for block in self.hidden_blocks:
            x_BLK = block(x_BLK)
        normed_BLK = self.norm_samples(x_BLK)
        samples_BCS = self._samples(normed_BLK)
        x_BNK = self.upsample(x_BLK).unflatten(2, (self.config.frames, -1)).flatten(1, 2)
        for block in self.frame_blocks:
            x_BNK = block(x_BNK)
        x_BNK = self.norm_out(x_BNK)
        if self.proj_out_tones is not None and self.to_tones is not None:
            levels_BNK = self.to_tones(normed_BLK).float().repeat_interleave(self.config.frames, 1)
            samples_BCS = samples_BCS + self._tones(levels_BNK + self.proj_out_tones(x_BNK).float())
        out = self.proj_out(x_BNK).float()
        level, real, imag = out.unflatten(2, (3, self.out_channels, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        magnitude = torch.exp((level + QUIET).clamp(max=MAX_LOG_MAGNITUDE))
        return samples_BCS + inverse_spectra(torch.complex(magnitude * real, magnitude * imag), self.hop)

    def _samples(self, x_BLK: Tensor) -> Tensor:
        frames_BLCW = self.to_samples(x_BLK).float().unflatten(-1, (self.out_channels, -1))
        level_BLC = torch.exp((self.to_level(x_BLK).float() + QUIET_SAMPLES).clamp(max=0.0))
        return overlap_frames((frames_BLCW * level_BLC[..., None]).transpose(1, 2), self.config.hop)

    def _tones(self, levels_BNK: Tensor) -> Tensor:
        amplitude_BNK = torch.exp((levels_BNK + QUIET_TONE).clamp(max=MAX_LOG_AMPLITUDE))
        amplitude_BLJCK = amplitude_BNK.unflatten(2, (self.out_channels, -1)).unflatten(
            1, (-1, self.config.frames)
        )
        bank_JKW = tone_bank(self.tone_cycles, self.config.hop, self.hop, levels_BNK.device)
        with torch.autocast(levels_BNK.device.type, enabled=False):
            frames_BCNW = torch.einsum("bljck,jkw->bcljw", amplitude_BLJCK, bank_JKW).flatten(2, 3)
        return overlap_frames(frames_BCNW, self.hop)

    def blocks(self) -> list[nn.Module]:
        return [*self.hidden_blocks, *self.frame_blocks]

    def context_frames(self) -> int:
        """Return the latent frames on each side that a frame of audio depends on."""
        return _context_frames(self.config)


def _context_frames(config: SpectralConfig) -> int:
    reach = KERNEL // 2 * config.num_frame_blocks + HOPS  # in spectra
    return -(-reach // config.frames) + KERNEL // 2 * config.num_hidden_blocks + 1
