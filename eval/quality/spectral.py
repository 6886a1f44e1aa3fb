"""Fidelity of audio to its reference: spectral distances, SI-SDR; PESQ and STOI for speech."""

import importlib.util
from typing import Any

import numpy as np
import scipy
from scipy.signal import stft

from eval.core.results import Item, Measurement, Score

WINDOWS_S = (512 / 48_000, 1024 / 48_000, 2048 / 48_000)  # the usual sizes at 48 kHz; hops are a quarter
BANDS, FLOOR = 80, 1e-5
MAX_HZ = 24_000.0
MIN_COMMON = 0.5  # of the longer signal: what is measured is the common part
SHOWN_MS = "windows of " + ", ".join(f"{1000 * seconds:.1f}" for seconds in WINDOWS_S) + " ms"


class AudioFidelity:
    """Needs `reference` (audio, or a video with audio); what both have is measured."""

    name = "audio_fidelity"
    scores = {
        "mel": Score(-1, "", f"mean absolute difference of log10 mel spectra, {BANDS} bands, {SHOWN_MS}"),
        "stft": Score(-1, "", f"spectral convergence + mean absolute difference of logs, {SHOWN_MS}"),
        "si_sdr": Score(1, "dB", "scale-invariant signal to distortion ratio, means removed"),
    }

    def describe(self) -> dict[str, Any]:
        return {
            "backbone": None,
            "preprocessing": "mono, at the reference's rate (soxr), cut to the shorter, at least "
            f"{100 * MIN_COMMON:.0f} % of the longer; {BANDS} bands of the HTK mel scale up to "
            f"{MAX_HZ / 1000:g} kHz, those above half the rate count as equal",
            "reference": "the sample's own",
            "scipy": scipy.__version__,
        }

    def measure(self, item: Item) -> Measurement:
        generated, reference = aligned_audio(item)
        rate = item.reference_audio.rate
        detail = {"seconds": [round(len(each) / rate, 3) for each in (generated, reference)]}
        return Measurement(compare_audio(*cut_to_shorter(generated, reference), rate=rate), detail)


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
    """Return audio and reference in mono at the reference's rate; encoders pad, so lengths may differ.

    Raises:
        ValueError: one is shorter than MIN_COMMON of the other.
    """
    reference = item.reference_audio
    generated = item.audio.resample(reference.rate).mono
    lengths = len(generated), reference.samples_CS.shape[1]
    if min(lengths) < MIN_COMMON * max(lengths):
        seconds = (length / reference.rate for length in lengths)
        raise ValueError("audio and reference differ in length: {:.3f} s, {:.3f} s".format(*seconds))
    return generated, reference.mono


def cut_to_shorter(generated: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both signals truncated to the shorter one."""
    length = min(len(generated), len(reference))
    return generated[:length], reference[:length]


def compare_audio(generated_S: np.ndarray, reference_S: np.ndarray, *, rate: int) -> dict[str, float]:
    """Return all values for two signals of equal length.

    Windows have the same duration and bands the same frequencies at any rate, and spectra are scaled to that
    of a sine's amplitude, so that the values of a sound hardly depend on the rate at which it is stored.
    """
    mel, convergence = [], []
    for seconds in WINDOWS_S:
        size = max(8, round(seconds * rate / 4) * 4)
        num_bins = MAX_HZ * size / rate + 1  # up to 24 kHz, also of those above half the rate
        a, b = (np.abs(_spectrum(each, size))[: int(num_bins)] for each in (generated_S, reference_S))
        bank = mel_bank(size, rate)[:, : len(a)]
        log_a, log_b = (np.log10(np.maximum(bank @ each, FLOOR)) for each in (a, b))
        mel.append(np.abs(log_a - log_b).sum(0).mean() / BANDS)
        logs = np.abs(np.log(np.maximum(a, FLOOR)) - np.log(np.maximum(b, FLOOR))).sum(0).mean() / num_bins
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


def mel_bank(size: int, rate: int) -> np.ndarray:
    """Return [bands, size / 2 + 1]: triangular filters of unit sum, evenly on the HTK mel scale of 0..24 kHz.

    Bands whose center is above half the rate are left out.
    """
    hertz = np.arange(size // 2 + 1) * rate / size
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + MAX_HZ / 700), BANDS + 2) / 2595) - 1)
    low, mid, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    kept = mid[:, 0] <= rate / 2
    low, mid, high = low[kept], mid[kept], high[kept]
    bank = np.maximum(0, np.minimum((hertz - low) / (mid - low), (high - hertz) / (high - mid)))
    empty = bank.sum(1) == 0  # filters narrower than a bin use the nearest one
    bank[empty, np.abs(hertz - mid[empty]).argmin(1)] = 1
    return bank / bank.sum(1, keepdims=True)
