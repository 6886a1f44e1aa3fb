"""Fidelity of audio to its reference: spectral distances and SI-SDR, in memory that does not grow.

Legend: S samples, N windows, F frequencies, M mel bands; 2 is the audio and its reference.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
import scipy
from scipy.signal import get_window

from eval.core.audio_metric import AudioPairMetric, CommonPart
from eval.core.audio_pass import AudioInfo, AudioPairTask
from eval.core.results import Item, Measurement, Score
from eval.quality.config import SpectralConfig

DEFAULTS = SpectralConfig()
MAX_SI_SDR = 100.0  # dB: of equal signals it is infinite


class AudioFidelity(AudioPairMetric):
    """Needs `reference` (audio, or a video with audio); what both have is measured."""

    name = "audio_fidelity"

    def __init__(self, settings: SpectralConfig = DEFAULTS) -> None:
        self.settings = settings
        shown = f"windows of {', '.join(f'{1000 * seconds:.1f}' for seconds in settings.windows_s)} ms"
        bands = f"mean absolute difference of log10 mel spectra, {settings.num_bands} bands, {shown}"
        self.scores = {
            "mel": Score(-1, "", bands),
            "stft": Score(-1, "", f"spectral convergence + mean absolute difference of logs, {shown}"),
            "si_sdr": Score(1, "dB", "scale-invariant signal to distortion ratio, means removed"),
        }

    def describe(self) -> dict[str, Any]:
        return {
            "backbone": None,
            "preprocessing": "mono, at the reference's rate (soxr), cut to the shorter; HTK mel scale, bands "
            "above half the rate count as equal",
            "settings": asdict(self.settings),
            "reference": "the sample's own",
            "scipy": scipy.__version__,
        }

    def observe_audio_pairs(self, item: Item, info: AudioInfo) -> AudioPairTask:
        common, meter = (
            CommonPart(info.rate, self.settings.min_common),
            AudioDistance(info.rate, self.settings),
        )
        while (pair := (yield)) is not None:
            if common.count(*pair):
                meter.add(*pair)
        seconds = common.seconds()
        return Measurement(meter.values(), {"seconds": seconds})


def compare_audio(
    generated_S: np.ndarray, reference_S: np.ndarray, *, rate: int, settings: SpectralConfig = DEFAULTS
) -> dict[str, float]:
    """Return all values for two signals of equal length."""
    meter = AudioDistance(rate, settings)
    meter.add(generated_S, reference_S)
    return meter.values()


class AudioDistance:
    """All values of two signals that arrive in pieces of equal length.

    Windows have the same duration and bands the same frequencies at any rate, and spectra are scaled to that
    of a sine's amplitude, so that the values of a sound hardly depend on the rate at which it is stored.
    """

    def __init__(self, rate: int, settings: SpectralConfig = DEFAULTS) -> None:
        self._windows = [_SpectralDistance(seconds, rate, settings) for seconds in settings.windows_s]
        self._ratio = SiSdr()

    def add(self, generated_S: np.ndarray, reference_S: np.ndarray) -> None:
        """Measure the next samples."""
        pair_2S = np.stack([generated_S, reference_S]).astype(np.float64)
        for window in self._windows:
            window.add(pair_2S)
        self._ratio.add(pair_2S)

    def values(self) -> dict[str, float]:
        """Return all values; without si_sdr if one of the signals is constant."""
        mel, convergence = zip(*(window.finish() for window in self._windows), strict=True)
        found = {"mel": float(np.mean(mel)), "stft": float(np.mean(convergence))}
        ratio = self._ratio.value()
        return found if ratio is None else {**found, "si_sdr": ratio}


class _SpectralDistance:
    """Distances over windows of one size, with a hop of a quarter; the signal is between silence."""

    def __init__(self, seconds: float, rate: int, settings: SpectralConfig) -> None:
        self.size = max(8, round(seconds * rate / 4) * 4)
        self.settings, self.hop = settings, self.size // 4
        self.num_bins = settings.max_hz * self.size / rate + 1  # also those above half the rate
        window = get_window("hann", self.size)
        self.window = window / window.sum()
        self.bank = mel_bank(self.size, rate, settings)[:, : int(self.num_bins)]
        self.rest_2S = np.zeros((2, self.size // 2))
        self.num_samples = self.num_windows = 0
        self.error = self.power = self.mel = self.logs = 0.0

    def add(self, pair_2S: np.ndarray) -> None:
        self.num_samples += pair_2S.shape[1]
        self.rest_2S = np.concatenate([self.rest_2S, pair_2S], axis=1)
        self._measure()

    def _measure(self) -> None:
        num = (self.rest_2S.shape[1] - self.size) // self.hop + 1
        if num < 1:
            return
        windows = np.lib.stride_tricks.sliding_window_view(self.rest_2S, self.size, axis=1)
        spectra = np.fft.rfft(windows[:, : num * self.hop : self.hop] * self.window)
        a_NF, b_NF = np.abs(spectra)[:, :, : self.bank.shape[1]]
        self.error += float(((a_NF - b_NF) ** 2).sum())
        self.power += float((b_NF**2).sum())
        floor = self.settings.floor
        a_NM, b_NM = (np.log10(np.maximum(each @ self.bank.T, floor)) for each in (a_NF, b_NF))
        self.mel += float(np.abs(a_NM - b_NM).sum())
        self.logs += float(np.abs(np.log(np.maximum(a_NF, floor)) - np.log(np.maximum(b_NF, floor))).sum())
        self.num_windows += num
        self.rest_2S = self.rest_2S[:, num * self.hop :]

    def finish(self) -> tuple[float, float]:
        """Return mel and stft."""
        tail = self.size // 2 + max(0, self.size - self.num_samples)
        tail += -(self.rest_2S.shape[1] + tail - self.size) % self.hop  # so that windows cover every sample
        self.rest_2S = np.pad(self.rest_2S, ((0, 0), (0, tail)))
        self._measure()
        convergence = np.sqrt(self.error) / max(np.sqrt(self.power), self.settings.floor)
        logs = self.logs / self.num_windows / self.num_bins
        return self.mel / self.num_windows / self.settings.num_bands, float(convergence + logs)


class SiSdr:
    """Scale-invariant signal to distortion ratio (Le Roux et al. 2019) of signals that arrive in pieces."""

    def __init__(self) -> None:
        self._num = 0
        self._sums_2, self._products_22 = np.zeros(2), np.zeros((2, 2))
        self._low_2, self._high_2 = np.full(2, np.inf), np.full(2, -np.inf)

    def add(self, pair_2S: np.ndarray) -> None:
        """Count the next samples, float64."""
        self._num += pair_2S.shape[1]
        self._sums_2 += pair_2S.sum(1)
        self._products_22 += pair_2S @ pair_2S.T
        self._low_2 = np.minimum(self._low_2, pair_2S.min(1, initial=np.inf))
        self._high_2 = np.maximum(self._high_2, pair_2S.max(1, initial=-np.inf))

    def value(self) -> float | None:
        """Return dB within +-MAX_SI_SDR; None if one of the signals is constant."""
        if (self._low_2 >= self._high_2).any():
            return None
        centered_22 = self._products_22 - np.outer(self._sums_2, self._sums_2) / self._num
        (gg, gr), (_, rr) = centered_22
        signal = gr**2 / rr
        ratio = 10 * np.log10(max(signal, 1e-300) / max(gg - signal, 1e-300))
        return float(np.clip(ratio, -MAX_SI_SDR, MAX_SI_SDR))


def si_sdr(generated_S: np.ndarray, reference_S: np.ndarray) -> float | None:
    """Return dB within +-MAX_SI_SDR; None if one of the signals is constant."""
    meter = SiSdr()
    meter.add(np.stack([generated_S, reference_S]).astype(np.float64))
    return meter.value()


def mel_bank(size: int, rate: int, settings: SpectralConfig = DEFAULTS) -> np.ndarray:
    """Return [bands, size / 2 + 1]: triangular filters of unit sum, evenly on the HTK mel scale.

    Bands whose center is above half the rate are left out.
    """
    hertz = np.arange(size // 2 + 1) * rate / size
    top = 2595 * np.log10(1 + settings.max_hz / 700)
    edges = 700 * (10 ** (np.linspace(0, top, settings.num_bands + 2) / 2595) - 1)
    low, mid, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    kept = mid[:, 0] <= rate / 2
    low, mid, high = low[kept], mid[kept], high[kept]
    bank = np.maximum(0, np.minimum((hertz - low) / (mid - low), (high - hertz) / (high - mid)))
    empty = bank.sum(1) == 0  # filters narrower than a bin use the nearest one
    bank[empty, np.abs(hertz - mid[empty]).argmin(1)] = 1
    return bank / bank.sum(1, keepdims=True)
