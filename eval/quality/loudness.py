"""Audio quality without a reference: loudness, peaks, clipping, silence, offset, bandwidth."""

from typing import Any

import numpy as np
import scipy
from scipy.signal import stft

from eval.core.audio import Audio
from eval.core.results import FRACTION, Item, Measurement, Score
from src.core.media_io.loudness import GATE_LUFS, integrated_lufs

SILENCE_DB, CLIP_LEVEL, ROLL_OFF_DB = -60.0, 0.999, -60.0
WINDOW_S = 0.02


class Loudness:
    """Loudness and defects. Silence has no loudness and no bandwidth: those values are left out."""

    name = "audio"
    scores = {
        "lufs": Score(0, "LUFS", "integrated loudness (ITU-R BS.1770, libavfilter ebur128)"),
        "peak_db": Score(0, "dBFS", "largest sample"),
        "clipped": Score(-1, FRACTION, f"samples at or above {CLIP_LEVEL} of full scale"),
        "silent": Score(
            -1, FRACTION, f"windows of {1000 * WINDOW_S:.0f} ms below {SILENCE_DB:.0f} dBFS (RMS)"
        ),
        "offset": Score(-1, "", "mean of the samples, absolute, the largest of the channels"),
        "bandwidth_hz": Score(1, "Hz", f"highest frequency within {-ROLL_OFF_DB:.0f} dB of the loudest"),
    }

    def describe(self) -> dict[str, Any]:
        return {
            "backbone": None,
            "preprocessing": "samples as decoded, float; no resampling, no normalization; bandwidth of the "
            "mean of the channels",
            "scipy": scipy.__version__,
        }

    def measure(self, item: Item) -> Measurement:
        return Measurement(measure_audio(item.audio))


def measure_audio(audio: Audio) -> dict[str, float]:
    """Return all values of an audio signal."""
    samples_CS = audio.samples_CS.astype(np.float64)
    peak = np.abs(samples_CS).max()
    values = {
        "clipped": float((np.abs(samples_CS) >= CLIP_LEVEL).mean()),
        "silent": silent_fraction(samples_CS, audio.rate),
        "offset": float(np.abs(samples_CS.mean(1)).max()),
    }
    if peak > 0:
        values["peak_db"] = float(20 * np.log10(peak))
        values["bandwidth_hz"] = bandwidth(samples_CS.mean(0), audio.rate)
        lufs = integrated_loudness(audio)
        if lufs > GATE_LUFS:
            values["lufs"] = lufs
    return values


def silent_fraction(samples_CS: np.ndarray, rate: int) -> float:
    """Return the fraction of windows in which every channel is silent; the last window may be short."""
    size = max(1, round(WINDOW_S * rate))
    edges = np.arange(0, samples_CS.shape[1], size)
    energy = np.add.reduceat(samples_CS**2, edges, axis=1).max(0)
    lengths = np.diff([*edges, samples_CS.shape[1]])
    return float((energy / lengths < 10 ** (SILENCE_DB / 10)).mean())


def bandwidth(mono_S: np.ndarray, rate: int) -> float:
    """Return the bandwidth in Hz, from the mean power spectrum of windows of 2048 samples; 0 for silence."""
    size = min(2048, len(mono_S))
    hertz, _, spectrum = stft(mono_S, rate, nperseg=size, boundary=None, padded=False)
    power = (np.abs(spectrum) ** 2).mean(1)
    loud = np.flatnonzero(power > power.max() * 10 ** (ROLL_OFF_DB / 10))
    return float(hertz[loud[-1]]) if len(loud) else 0.0


def integrated_loudness(audio: Audio) -> float:
    """Return LUFS of mono or stereo audio (others are mixed to mono), -70 or less for silence."""
    samples_CS = audio.samples_CS if len(audio.samples_CS) < 3 else audio.mono[None]
    return integrated_lufs(samples_CS, audio.rate)
