"""Encoder and decoder of strided convolutions, as in the Descript Audio Codec.

Modules are named and numbered as in its checkpoints (`encoder.block.N`, `decoder.model.N`).

Legend: B batch, C channels, S samples, L latent frames.
"""

from math import ceil

from torch import Tensor, nn

from src.models.codec.config import DACConfig
from src.models.codec.layers import Conv1d, ConvTranspose1d, Snake

DILATIONS = (1, 3, 9)
RESIDUAL_REACH = sum(
    3 * dilation for dilation in DILATIONS
)  # positions on each side that a block's units see


class ResidualUnit(nn.Module):
    """x + conv1(snake(conv7(snake(x)))), the 7-tap convolution dilated."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            Snake(channels),
            Conv1d(channels, channels, 7, dilation=dilation),
            Snake(channels),
            Conv1d(channels, channels, 1),
        )

    def forward(self, x_BCS: Tensor) -> Tensor:
        out: Tensor = x_BCS + self.block(x_BCS)
        return out


class EncoderBlock(nn.Module):
    """Three residual units, then a strided convolution that doubles the channels."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            *(ResidualUnit(channels, dilation) for dilation in DILATIONS),
            Snake(channels),
            Conv1d(channels, 2 * channels, 2 * stride, stride=stride),
        )

    def forward(self, x_BCS: Tensor) -> Tensor:
        out: Tensor = self.block(x_BCS)
        return out


class DecoderBlock(nn.Module):
    """A transposed convolution that halves the channels, then three residual units."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            Snake(channels),
            ConvTranspose1d(channels, channels // 2, stride),
            *(ResidualUnit(channels // 2, dilation) for dilation in DILATIONS),
        )

    def forward(self, x_BCS: Tensor) -> Tensor:
        out: Tensor = self.block(x_BCS)
        return out


class DACEncoder(nn.Module):
    """Map audio [B, C, S] to features [B, hidden, S / hop]."""

    def __init__(self, config: DACConfig, in_channels: int) -> None:
        super().__init__()
        self.config = config
        channels = config.encoder_channels
        layers: list[nn.Module] = [Conv1d(in_channels, channels, 7)]
        for stride in config.strides:
            layers.append(EncoderBlock(channels, stride))
            channels *= 2
        layers += [Snake(channels), Conv1d(channels, config.hidden_channels, 3)]
        self.block = nn.Sequential(*layers)

    def forward(self, audio_BCS: Tensor) -> Tensor:
        out: Tensor = self.block(audio_BCS)
        return out

    def blocks(self) -> list[nn.Module]:
        return list(self.block)

    def context_frames(self) -> int:
        """Return the latent frames of audio on each side that a latent frame depends on."""
        reach, jump = 3, 1
        for stride in self.config.strides:
            reach += (RESIDUAL_REACH + ceil(stride / 2)) * jump
            jump *= stride
        return ceil((reach + jump) / jump) + 1


class DACDecoder(nn.Module):
    """Map features [B, hidden, L] to audio [B, C, L * hop] in [-1, 1]."""

    def __init__(self, config: DACConfig, out_channels: int) -> None:
        super().__init__()
        self.config = config
        channels = config.decoder_channels
        layers: list[nn.Module] = [Conv1d(config.hidden_channels, channels, 7)]
        for stride in reversed(config.strides):
            layers.append(DecoderBlock(channels, stride))
            channels //= 2
        layers += [Snake(channels), Conv1d(channels, out_channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, features_BCL: Tensor) -> Tensor:
        out: Tensor = self.model(features_BCL)
        return out

    def blocks(self) -> list[nn.Module]:
        return list(self.model)

    def context_frames(self) -> int:
        """Return the latent frames on each side that a frame of audio depends on."""
        reach, jump = 3.0, 1.0  # jump: latent frames between two positions
        for stride in reversed(self.config.strides):
            reach += jump
            jump /= stride
            reach += RESIDUAL_REACH * jump
        return ceil(reach + 3 * jump) + 1
