"""Fidelity of audio to its reference: spectral distances, SI-SDR; PESQ and STOI for speech."""

import importlib.util
from typing import Any

import numpy as np
import scipy
from scipy.signal import stft

from eval.core.results import Item, Measurement, Score

SIZES = (512, 1024, 2048)  # windows; hops are a quarter
BANDS, FLOOR = 80, 1e-5


class AudioFidelity:
    """Needs `reference` (audio, or a video with audio) of the same length within 20 ms."""

    name = "audio_fidelity"
    scores = {
        "mel": Score(-1, "", f"mean absolute difference of log10 mel spectra, {BANDS} bands, sizes {SIZES}"),
        "stft": Score(-1, "", f"spectral convergence + mean absolute difference of logs, sizes {SIZES}"),
        "si_sdr": Score(1, "dB", "scale-invariant signal to distortion ratio, means removed"),
    }

    def describe(self) -> dict[str, Any]:
        return {
            "backbone": None,
            "preprocessing": "mean of channels, at the reference's rate (resample_poly), cut to the shorter",
            "reference": "the sample's own",
            "scipy": scipy.__version__,
        }

    def measure(self, item: Item) -> Measurement:
        generated, reference = aligned_audio(item)
        return Measurement(compare_audio(*cut_to_shorter(generated, reference)))


class Speech:
    """PESQ (wide band) and STOI at 16 kHz; valid for recorded or coded speech only."""

    name = "speech"
    scores = {
        "pesq": Score(1, "", "ITU-T P.862.2, wide band, 16 kHz (package pesq)"),
        "stoi": Score(1, "", "short-time objective intelligibility, 16 kHz (package pystoi)"),
    }

    def __init__(self) -> None:
        missing = [name for name in ("pesq", "pystoi") if importlib.util.find_spec(name) is None]
        if missing:
            raise ValueError(f"speech: needs pip install {' '.join(missing)}")

    def describe(self) -> dict[str, Any]:
        return {"backbone": None, "preprocessing": "mean of channels, 16 kHz (resample_poly)"}

    def measure(self, item: Item) -> Measurement:
        from pesq import PesqError, pesq
        from pystoi import stoi

        generated, reference = (each.resample(16_000).mono for each in (item.audio, item.reference_audio))
        generated, reference = cut_to_shorter(generated, reference)
        try:
            quality = pesq(16_000, reference, generated, "wb")
        except PesqError as error:
            raise ValueError(f"pesq: {str(error).strip(chr(39))}") from None
        return Measurement({"pesq": float(quality), "stoi": float(stoi(reference, generated, 16_000))})


def aligned_audio(item: Item) -> tuple[np.ndarray, np.ndarray]:
    """Return audio and reference in mono at the reference's rate.

    Raises:
        ValueError: their lengths differ by more than 20 ms.
    """
    reference = item.reference_audio
    generated = item.audio.resample(reference.rate).mono
    if abs(len(generated) - reference.samples_CS.shape[1]) > 0.02 * reference.rate:
        seconds = len(generated) / reference.rate, reference.samples_CS.shape[1] / reference.rate
        raise ValueError("audio and reference differ in length: {:.3f} s, {:.3f} s".format(*seconds))
    return generated, reference.mono


def cut_to_shorter(generated: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both signals truncated to the shorter one."""
    length = min(len(generated), len(reference))
    return generated[:length], reference[:length]


def compare_audio(generated_S: np.ndarray, reference_S: np.ndarray) -> dict[str, float]:
    """Return all values for two signals of equal length."""
    mel, convergence = [], []
    for size in SIZES:
        a, b = (np.abs(_spectrum(each, size)) for each in (generated_S, reference_S))
        bank = _mel_bank(size)
        log_a, log_b = (np.log10(np.maximum(bank @ each, FLOOR)) for each in (a, b))
        mel.append(np.abs(log_a - log_b).mean())
        logs = np.abs(np.log(np.maximum(a, FLOOR)) - np.log(np.maximum(b, FLOOR))).mean()
        convergence.append(np.linalg.norm(a - b) / max(np.linalg.norm(b), FLOOR) + logs)
    values = {"mel": float(np.mean(mel)), "stft": float(np.mean(convergence))}
    ratio = si_sdr(generated_S, reference_S)
    return values if ratio is None else {**values, "si_sdr": ratio}


def si_sdr(generated_S: np.ndarray, reference_S: np.ndarray) -> float | None:
    """Return dB within +-100 (Le Roux et al. 2019); None if one of the signals is constant."""
    generated, reference = (each.astype(np.float64) - each.mean() for each in (generated_S, reference_S))
    if not generated.any() or not reference.any():
        return None
    target = (generated @ reference) / (reference @ reference) * reference
    signal, noise = target @ target, (generated - target) @ (generated - target)
    return float(np.clip(10 * np.log10(max(signal, 1e-300) / max(noise, 1e-300)), -100, 100))


def _spectrum(samples_S: np.ndarray, size: int) -> np.ndarray:
    padded = np.pad(samples_S.astype(np.float64), (0, max(0, size - len(samples_S))))
    return stft(padded, nperseg=size, noverlap=size - size // 4)[2]


def _mel_bank(size: int) -> np.ndarray:
    """Return [80, size / 2 + 1]: triangular filters of unit sum on the HTK mel scale of 48 kHz."""
    hertz = np.linspace(0, 24_000, size // 2 + 1)
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 24_000 / 700), BANDS + 2) / 2595) - 1)
    low, mid, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bank = np.maximum(0, np.minimum((hertz - low) / (mid - low), (high - hertz) / (high - mid)))
    empty = bank.sum(1) == 0  # filters narrower than a bin use the nearest one
    bank[empty, np.abs(hertz - mid[empty]).argmin(1)] = 1
    return bank / bank.sum(1, keepdims=True)
