"""Audio quality without a reference: loudness, peaks, clipping, silence, offset, bandwidth."""

from dataclasses import asdict
from typing import Any

import numpy as np
import scipy
from scipy.signal import stft

from eval.core.audio import Audio
from eval.core.audio_metric import AudioMetric
from eval.core.audio_pass import AudioInfo, AudioTask
from eval.core.results import FRACTION, Item, Measurement, Score
from eval.quality.config import LoudnessConfig
from src.core.media_io.loudness import GATE_LUFS, LoudnessMeter, integrated_lufs

DEFAULTS = LoudnessConfig()
MIN_LOUDNESS_S = 0.5  # shorter audio is repeated to fill a gating block of 0.4 s


class Loudness(AudioMetric):
    """Loudness and defects. Silence has no loudness and no bandwidth: those values are left out."""

    name = "audio"

    def __init__(self, settings: LoudnessConfig = DEFAULTS) -> None:
        self.settings = settings
        silent = (
            f"windows of {1000 * settings.silence_window_s:g} ms below {settings.silence_db:g} dBFS (RMS)"
        )
        bandwidth = f"highest frequency within {-settings.roll_off_db:g} dB of the loudest"
        self.scores = {
            "lufs": Score(0, "LUFS", "integrated loudness (ITU-R BS.1770, libavfilter ebur128)"),
            "peak_db": Score(0, "dBFS", "largest sample"),
            "clipped": Score(-1, FRACTION, f"samples at or above {settings.clip_level:g} of full scale"),
            "silent": Score(-1, FRACTION, silent),
            "offset": Score(-1, "", "mean of the samples, absolute, the largest of the channels"),
            "bandwidth_hz": Score(1, "Hz", bandwidth),
        }

    def describe(self) -> dict[str, Any]:
        return {
            "backbone": None,
            "preprocessing": "samples as decoded, float; no resampling, no normalization; channels weighed "
            "by their layout (LFE 0, surround 1.41); bandwidth of the mean of the channels",
            "settings": asdict(self.settings),
            "scipy": scipy.__version__,
        }

    def observe_audio(self, item: Item, info: AudioInfo) -> AudioTask:
        meter = AudioMeter(info.rate, info.channels, self.settings)
        while (samples_CS := (yield)) is not None:
            meter.add(samples_CS)
        found = meter.values()
        return Measurement({name: found[name] for name in self.scores if name in found})


def measure_audio(audio: Audio) -> dict[str, float]:
    """Return all values of an audio signal."""
    meter = AudioMeter(audio.rate, audio.channels)
    meter.add(audio.samples_CS)
    return meter.values()


class AudioMeter:
    """All values of audio that arrives in pieces; memory does not grow with the length."""

    def __init__(
        self, rate: int, channels: tuple[str, ...] = (), settings: LoudnessConfig = DEFAULTS
    ) -> None:
        self.rate, self.channels, self.settings = rate, channels, settings
        self._num = self._num_clipped = 0
        self._peak = 0.0
        self._sums_C: np.ndarray | None = None
        self._loudness: LoudnessMeter | None = None
        self._start_CS: np.ndarray | None = None  # until there is one gating block of loudness
        self._windows, self._spectrum = _SilentWindows(rate, settings), _MeanSpectrum(rate, settings)

    def add(self, samples_CS: np.ndarray) -> None:
        """Measure the next samples."""
        exact_CS = samples_CS.astype(np.float64)
        sums_C = exact_CS.sum(1)
        self._sums_C = sums_C if self._sums_C is None else self._sums_C + sums_C
        self._num += samples_CS.shape[1]
        self._num_clipped += int((np.abs(exact_CS) >= self.settings.clip_level).sum())
        self._peak = max(self._peak, float(np.abs(exact_CS).max(initial=0)))
        self._windows.add(exact_CS)
        self._spectrum.add(exact_CS.mean(0))
        self._add_loudness(samples_CS)

    def _add_loudness(self, samples_CS: np.ndarray) -> None:
        if self._loudness is not None:
            self._loudness.add(samples_CS)
            return
        before = [] if self._start_CS is None else [self._start_CS]
        self._start_CS = np.concatenate([*before, samples_CS], axis=1)
        if self._start_CS.shape[1] >= MIN_LOUDNESS_S * self.rate:
            self._loudness = LoudnessMeter(len(samples_CS), self.rate, self.channels)
            self._loudness.add(self._start_CS)

    def values(self) -> dict[str, float]:
        """Return all values; those that silence does not have are left out.

        Raises:
            ValueError: there were no samples.
        """
        if self._sums_C is None or not self._num or self._start_CS is None:
            raise ValueError("audio: contains no samples")
        found = {
            "clipped": self._num_clipped / (self._num * len(self._sums_C)),
            "silent": self._windows.fraction(),
            "offset": float(np.abs(self._sums_C / self._num).max()),
        }
        if self._peak > 0:
            if self._loudness is None:
                lufs = integrated_lufs(self._start_CS, self.rate, self.channels)
            else:
                lufs = self._loudness.finish()
            found |= {"lufs": lufs} if lufs > GATE_LUFS else {}
            found["peak_db"] = float(20 * np.log10(self._peak))
            found["bandwidth_hz"] = self._spectrum.bandwidth()
        return found


class _SilentWindows:
    """The fraction of windows in which every channel is silent; the last window may be short."""

    def __init__(self, rate: int, settings: LoudnessConfig) -> None:
        self._size = max(1, round(settings.silence_window_s * rate))
        self._level = 10 ** (settings.silence_db / 10)
        self._num = self._num_silent = 0
        self._rest_CS: np.ndarray | None = None

    def add(self, samples_CS: np.ndarray) -> None:
        if self._rest_CS is not None:
            samples_CS = np.concatenate([self._rest_CS, samples_CS], axis=1)
        num_full = samples_CS.shape[1] // self._size * self._size
        self._count(samples_CS[:, :num_full].reshape(len(samples_CS), -1, self._size))
        self._rest_CS = samples_CS[:, num_full:]

    def _count(self, windows_CNS: np.ndarray) -> None:
        energy_N = (windows_CNS**2).mean(2).max(0) if windows_CNS.size else np.zeros(0)
        self._num += len(energy_N)
        self._num_silent += int((energy_N < self._level).sum())

    def fraction(self) -> float:
        if self._rest_CS is not None and self._rest_CS.size:
            self._count(self._rest_CS[:, None])
            self._rest_CS = None
        return self._num_silent / self._num


class _MeanSpectrum:
    """The mean power spectrum of half-overlapping windows, or of the complete audio if it is shorter."""

    def __init__(self, rate: int, settings: LoudnessConfig) -> None:
        self._rate, self._num, self._settings = rate, 0, settings
        self._power_F: np.ndarray | None = None
        self._rest_S, self._hertz_F = np.zeros(0), np.zeros(0)

    def add(self, mono_S: np.ndarray) -> None:
        self._rest_S = np.concatenate([self._rest_S, mono_S])
        if len(self._rest_S) >= self._settings.spectrum_size:
            self._measure(self._settings.spectrum_size)

    def _measure(self, size: int) -> None:
        found = stft(self._rest_S, self._rate, nperseg=size, boundary=None, padded=False)
        self._hertz_F, _, spectrum_FN = found
        power_F = (np.abs(spectrum_FN) ** 2).sum(1)
        self._power_F = power_F if self._power_F is None else self._power_F + power_F
        self._num += spectrum_FN.shape[1]
        self._rest_S = self._rest_S[spectrum_FN.shape[1] * (size - size // 2) :]

    def bandwidth(self) -> float:
        """Return the bandwidth in Hz; 0 for silence."""
        if self._power_F is None:
            self._measure(len(self._rest_S))
        assert self._power_F is not None
        power_F = self._power_F / self._num
        loud = np.flatnonzero(power_F > power_F.max() * 10 ** (self._settings.roll_off_db / 10))
        return float(self._hertz_F[loud[-1]]) if len(loud) else 0.0
