"""Degradations of audio that a reading should survive, and some that it should not.

Legend: S samples.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from eval.bounce_checker.audio_spectra import SAMPLE_RATE
from src.core.rng import numpy_generator


@dataclass(frozen=True)
class AudioDegradation:
    """A change of samples; `speed` is the factor by which it makes everything happen earlier."""

    apply: Callable[[np.ndarray], np.ndarray]
    speed: float = 1.0


def add_white_noise(samples_S: np.ndarray) -> np.ndarray:
    """Add white noise at -50 dB of full scale."""
    return samples_S + numpy_generator(0, "validate/hiss").normal(0, 10 ** (-50 / 20), len(samples_S))


def detune(speed: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that plays samples faster, and so higher, by linear interpolation."""

    def apply(samples_S: np.ndarray) -> np.ndarray:
        at = np.arange(int(len(samples_S) / speed)) * speed
        return np.interp(at, np.arange(len(samples_S)), samples_S)

    return apply


def reverberate(samples_S: np.ndarray) -> np.ndarray:
    """Add the reverberation of a small room: 0.25 s to fall by 60 dB, 12 dB below the direct sound."""
    from scipy.signal import fftconvolve  # slow to import: not for --help

    time = np.arange(round(0.25 * SAMPLE_RATE)) / SAMPLE_RATE
    tail_S = numpy_generator(0, "validate/reverb").normal(size=len(time)) * np.exp(
        -np.log(1000) / 0.25 * time
    )
    tail_S *= 10 ** (-12 / 20) / np.linalg.norm(tail_S)
    return samples_S + fftconvolve(samples_S, tail_S)[: len(samples_S)]


def narrow(samples_S: np.ndarray) -> np.ndarray:
    """Resample to 16 kHz and back."""
    import soxr

    low_S = soxr.resample(samples_S.astype(np.float32), SAMPLE_RATE, 16_000)
    back_S = soxr.resample(low_S, 16_000, SAMPLE_RATE).astype(np.float64)
    return np.pad(back_S, (0, max(len(samples_S) - len(back_S), 0)))[: len(samples_S)]


def encode_vorbis(samples_S: np.ndarray) -> np.ndarray:
    """Pass the samples through a lossy codec: Ogg Vorbis at a low rate."""
    import soundfile

    file = io.BytesIO()
    audio = np.clip(samples_S, -1, 1).astype(np.float32)
    soundfile.write(file, audio, SAMPLE_RATE, format="OGG", subtype="VORBIS", compression_level=0.8)
    file.seek(0)
    return soundfile.read(file)[0][: len(samples_S)]


DEGRADATIONS: dict[str, AudioDegradation] = {
    "none": AudioDegradation(lambda samples_S: samples_S),
    "a third of the volume": AudioDegradation(lambda samples_S: samples_S / 3),
    "white noise at -50 dB": AudioDegradation(add_white_noise),
    "detuned by 1.5 %": AudioDegradation(detune(1.015), 1.015),
    "reverberated": AudioDegradation(reverberate),
    "Ogg Vorbis": AudioDegradation(encode_vorbis),
    "16 kHz and back": AudioDegradation(narrow),
    "silence": AudioDegradation(np.zeros_like),
}
