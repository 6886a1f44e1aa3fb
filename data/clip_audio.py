"""Audio of a clip as its record holds it, and its loudness, silence and clipping.

Legend: C channels (1 or 2), S samples.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src.core.media_io.audio_reader import read_audio
from src.core.media_io.loudness import GATE_LUFS, integrated_lufs
from src.streaming.schema.clip_audio import RATE, num_samples

CHANNELS = {"mono": 1, "stereo": 2}
SILENCE_DBFS, WINDOW_S = -60.0, 0.1
BANDWIDTH_DB = -80.0  # below the spectrum's peak


@dataclass(frozen=True)
class ClipAudio:
    """Samples int16 [C, S] at 48 kHz from the clip's first frame to the end of its last, and their levels."""

    samples_CS: NDArray[np.int16]
    levels: dict[str, float]


def read_clip_audio(path: Path, start_s: float, num_frames: int, fps: float, channels: int) -> ClipAudio:
    """Read the audio that is heard while a clip is shown; silence where the file has none.

    Raises:
        MediaError: the audio is damaged or cannot be decoded.
    """
    length = num_samples(num_frames, fps)
    # half a sample more, so that rounding never takes one away
    audio = read_audio(
        path, rate=RATE, channels=channels, start_s=start_s, end_s=start_s + (length + 0.5) / RATE
    )
    samples_CS = audio.samples_CS[:, :length]
    return ClipAudio(to_int16(samples_CS), measure_levels(samples_CS))


def to_int16(samples_CS: NDArray[np.float32]) -> NDArray[np.int16]:
    """Round to 16 bits; samples beyond full scale are clipped."""
    return np.clip(np.rint(samples_CS * 32768.0), -32768, 32767).astype(np.int16)


def measure_levels(samples_CS: NDArray[np.float32], rate: int = RATE) -> dict[str, float]:
    """Return loudness in LUFS (ITU-R BS.1770), bandwidth, and the fractions of silence and clipped samples.

    Silent is a window of 0.1 s whose RMS stays below -60 dB of full scale in all channels. The bandwidth ends
    where the mean power spectrum falls 80 dB below its peak for good; 0 for digital silence.
    """
    size = round(WINDOW_S * rate)
    edges = np.arange(0, samples_CS.shape[1], size)
    lengths = np.diff([*edges, samples_CS.shape[1]])
    power = np.add.reduceat(samples_CS.astype(np.float64) ** 2, edges, axis=1) / lengths
    silent = power.max(0) < 10 ** (SILENCE_DBFS / 10)
    loudness = GATE_LUFS if silent.all() else max(integrated_lufs(samples_CS, rate), GATE_LUFS)
    return {
        "loudness_lufs": round(float(loudness), 2),
        "silence_fraction": round(float((silent * lengths).sum() / lengths.sum()), 4),
        "clipped_fraction": round(float((np.abs(samples_CS) >= 32767 / 32768).mean()), 6),
        "bandwidth_hz": round(bandwidth_hz(samples_CS, rate), 1),
    }


def bandwidth_hz(samples_CS: NDArray[np.float32], rate: int) -> float:
    """Return the highest frequency at which the mean power spectrum is within 80 dB of its peak."""
    length = samples_CS.shape[1]
    if not samples_CS.any():
        return 0.0
    size = min(2048, length)
    starts = np.arange(0, length - size + 1, size)
    blocks = samples_CS[:, starts[:, None] + np.arange(size)].astype(np.float64) * np.hanning(size + 2)[1:-1]
    power_F = (np.abs(np.fft.rfft(blocks)) ** 2).mean((0, 1))
    if not power_F.max() > 0:  # all that there is lies in the rest after the last block
        return 0.0
    last = int(np.flatnonzero(power_F >= power_F.max() * 10 ** (BANDWIDTH_DB / 10))[-1])
    return last * rate / size
