"""Scores of reconstructed audio, summed over a stream.

Legend: B batch, C channels, S samples.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.core.media_io.audio import DEFAULT_LAYOUTS, mixdown_matrix
from src.core.media_io.loudness import GATE_LUFS, LoudnessMeter
from src.inference.audio_sources import Samples, SourceAudio
from src.losses.audio import fold_channels, mel_distance, si_sdr_of_sums, stft_distance
from src.training.modules.codec_config import CodecLossConfig

BLOCK_S = 10.0  # spectral distances are means over blocks of this length
SPECTROGRAM_S = 10.0  # the beginning of which is shown
DISTANCES = CodecLossConfig()  # windows and bands of the distances: those of DAC, for every codec


@dataclass
class AudioScores:
    """Scores of a reconstruction; None where they are not defined (silence)."""

    name: str
    source: str
    caption: str
    seconds: float
    num_channels: int
    si_sdr: float | None
    mel: float
    stft: float
    lufs: float | None
    lufs_original: float | None
    facts: dict[str, Any] = field(default_factory=dict)
    stem: str = ""


@dataclass
class ScoreSums:
    """Sums over a stream from which scores are computed at its end."""

    num_channels: int
    rate: int
    sums: Tensor = field(init=False)  # float64 [5, C]: x, y, xx, yy, xy
    num_samples: int = 0
    spectral: Tensor = field(default_factory=lambda: torch.zeros(2, dtype=torch.float64))
    beginning: list[tuple[Samples, Samples]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sums = torch.zeros(5, self.num_channels, dtype=torch.float64)
        self.meters = [LoudnessMeter(min(self.num_channels, 2), self.rate) for _ in range(2)]
        self._held: list[tuple[Samples, Samples]] = []

    def add(self, output_CS: Samples, original_CS: Samples) -> None:
        """Add the next samples of both."""
        x, y = (torch.from_numpy(each).double() for each in (output_CS, original_CS))
        self.sums += torch.stack([x.sum(1), y.sum(1), (x * x).sum(1), (y * y).sum(1), (x * y).sum(1)])
        shown = round(SPECTROGRAM_S * self.rate)
        if self.num_samples < shown:
            self.beginning.append((output_CS, original_CS))
        self.num_samples += x.shape[1]
        for meter, samples_CS in zip(self.meters, (output_CS, original_CS), strict=True):
            meter.add(_front(samples_CS))
        self._held.append((output_CS, original_CS))
        if sum(each.shape[1] for each, _ in self._held) >= BLOCK_S * self.rate:
            self._measure_block()

    def _measure_block(self) -> None:
        if not self._held:
            return
        output, original = (torch.from_numpy(each) for each in join(self._held))
        self._held = []
        x, y = fold_channels(output[None]), fold_channels(original[None])
        mel = mel_distance(x, y, self.rate, DISTANCES.mel_windows, DISTANCES.mel_bands).mean()
        stft = stft_distance(x, y, DISTANCES.stft_windows).mean()
        self.spectral += torch.stack([mel, stft]).double() * output.shape[1]

    def scores(self, source: SourceAudio) -> AudioScores:
        """Return the scores of everything that was added."""
        self._measure_block()
        x, y, xx, yy, xy = self.sums
        n = self.num_samples
        ratio = si_sdr_of_sums(xy - x * y / n, xx - x * x / n, yy - y * y / n)
        defined = ratio[~ratio.isnan()]
        lufs, lufs_original = (
            each if each > GATE_LUFS else None for each in (m.finish() for m in self.meters)
        )
        mel, stft = (self.spectral / n).tolist()
        return AudioScores(
            source.name,
            source.source,
            source.caption,
            n / self.rate,
            self.num_channels,
            float(defined.mean()) if len(defined) else None,
            mel,
            stft,
            lufs,
            lufs_original,
            source.facts,
            source.stem,
        )


def join(pairs: list[tuple[Samples, Samples]]) -> tuple[Samples, Samples]:
    """Return both sides of pairs of pieces, each joined in time."""
    return np.concatenate([a for a, _ in pairs], 1), np.concatenate([b for _, b in pairs], 1)


def _front(samples_CS: Samples) -> Samples:
    """Return one or two channels; more are mixed down, as the meter knows no others."""
    if len(samples_CS) <= 2:
        return samples_CS
    return mixdown_matrix(DEFAULT_LAYOUTS[len(samples_CS)], 2) @ samples_CS
