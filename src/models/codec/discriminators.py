"""Discriminators of waveforms: multi-period and multi-resolution STFT, as in DAC.

Legend: N signals (channels folded into the batch), S samples, C channels, H rows, W columns.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.codec.config import AudioDiscriminatorConfig
from src.models.codec.layers import Conv2d, reflect_pad

BANDS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # borders of the bands, as fractions of the bins
SLOPE = 0.1
PEAK = 0.8


class PeriodDiscriminator(nn.Module):
    """Look at every `period`-th sample: the waveform folded into rows of `period` columns."""

    def __init__(self, period: int, channels: int) -> None:
        super().__init__()
        self.period = period
        widths = (1, channels, 4 * channels, 16 * channels, 32 * channels)
        self.layers = nn.ModuleList(Conv2d(a, b, (5, 1), (3, 1)) for a, b in pairwise(widths))
        self.layers.append(Conv2d(widths[-1], widths[-1], (5, 1)))
        self.head = Conv2d(widths[-1], 1, (3, 1))

    def forward(self, x_NS: Tensor) -> list[Tensor]:
        padded = reflect_pad(x_NS[:, None], self.period)
        h = padded.unflatten(-1, (-1, self.period))
        features = []
        for layer in self.layers:
            h = F.leaky_relu(layer(h), SLOPE)
            features.append(h)
        return [*features, self.head(h)]


class STFTDiscriminator(nn.Module):
    """Look at the complex spectrogram, in bands with layers of their own."""

    def __init__(self, window: int, channels: int) -> None:
        super().__init__()
        self.window = window
        bins = window // 2 + 1
        self.borders = [round(fraction * bins) for fraction in BANDS]
        self.bands = nn.ModuleList(self._layers(channels) for _ in BANDS[1:])
        self.head = Conv2d(channels, 1, (3, 3))

    def _layers(self, channels: int) -> nn.ModuleList:
        strided = [Conv2d(channels, channels, (3, 9), (1, 2)) for _ in range(3)]
        return nn.ModuleList([Conv2d(2, channels, (3, 9)), *strided, Conv2d(channels, channels, (3, 3))])

    def forward(self, x_NS: Tensor) -> list[Tensor]:
        window_W = torch.hann_window(self.window, device=x_NS.device)
        padded = F.pad(x_NS.float(), (0, max(0, self.window - x_NS.shape[-1])))
        x_NHW = torch.stft(padded, self.window, self.window // 4, window=window_W, return_complex=True)
        x_N2HW = torch.view_as_real(x_NHW.transpose(1, 2)).permute(0, 3, 1, 2)  # rows: time, columns: bins
        features, ends = [], []
        for low, high, layers in zip(self.borders[:-1], self.borders[1:], self.bands, strict=True):
            h = x_N2HW[..., low:high]
            assert isinstance(layers, nn.ModuleList)
            for layer in layers:
                h = F.leaky_relu(layer(h), SLOPE)
                features.append(h)
            ends.append(h)
        return [*features, self.head(torch.cat(ends, -1))]


class AudioDiscriminator(nn.Module):
    """All discriminators together.

    `forward` returns for each of them its feature maps, and last its logits. Signals lose their offset and
    get one peak level first, so that loudness is left to the spectral losses.
    """

    def __init__(self, config: AudioDiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        members: list[nn.Module] = [PeriodDiscriminator(p, config.period_channels) for p in config.periods]
        members += [STFTDiscriminator(w, config.stft_channels) for w in config.windows]
        self.members = nn.ModuleList(members)

    def forward(self, audio_BCS: Tensor) -> list[list[Tensor]]:
        x_NS = audio_BCS.flatten(0, 1)
        x_NS = x_NS - x_NS.mean(-1, keepdim=True)
        x_NS = PEAK * x_NS / (x_NS.abs().amax(-1, keepdim=True) + 1e-9)
        return [member(x_NS) for member in self.members]

    def shard_groups(self) -> list[nn.Module]:
        """Return the submodules to shard one by one."""
        return list(self.members)
