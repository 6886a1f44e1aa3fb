"""Sounds against their reference: distances of spectra, SI-SDR, PESQ and STOI for speech."""

import importlib.util
from typing import Any

import numpy as np
import scipy
from scipy.signal import stft

from eval.core.results import Item, Measurement, Score

SIZES = (512, 1024, 2048)  # windows, with hops of a quarter
BANDS, FLOOR = 80, 1e-5


class SoundFidelity:
    """Needs `reference` (a sound, or a film with a sound track) of the same length, up to 20 ms."""

    name = "sound_fidelity"
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
        made, real = aligned(item)
        return Measurement(compare_sounds(*made_real(made, real)))


class Speech:
    """PESQ (wide band) and STOI, at 16 kHz: of recorded or coded speech, and of nothing else."""

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

        made, real = (each.at_rate(16_000).mono for each in (item.sound, item.reference_sound))
        made, real = made_real(made, real)
        try:
            quality = pesq(16_000, real, made, "wb")
        except PesqError as error:
            raise ValueError(f"pesq: {str(error).strip(chr(39))}") from None
        return Measurement({"pesq": float(quality), "stoi": float(stoi(real, made, 16_000))})


def aligned(item: Item) -> tuple[np.ndarray, np.ndarray]:
    """Both sounds in mono at the reference's rate; ValueError where their lengths differ by over 20 ms."""
    real = item.reference_sound
    made = item.sound.at_rate(real.rate).mono
    if abs(len(made) - real.samples_CS.shape[1]) > 0.02 * real.rate:
        seconds = len(made) / real.rate, real.samples_CS.shape[1] / real.rate
        raise ValueError("sound and reference differ in length: {:.3f} s, {:.3f} s".format(*seconds))
    return made, real.mono


def made_real(made: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both cut to the shorter."""
    length = min(len(made), len(real))
    return made[:length], real[:length]


def compare_sounds(made_S: np.ndarray, real_S: np.ndarray) -> dict[str, float]:
    """All values for two sounds of one length."""
    mel, convergence = [], []
    for size in SIZES:
        a, b = (np.abs(_spectrum(each, size)) for each in (made_S, real_S))
        bank = _mel_bank(size)
        log_a, log_b = (np.log10(np.maximum(bank @ each, FLOOR)) for each in (a, b))
        mel.append(np.abs(log_a - log_b).mean())
        logs = np.abs(np.log(np.maximum(a, FLOOR)) - np.log(np.maximum(b, FLOOR))).mean()
        convergence.append(np.linalg.norm(a - b) / max(np.linalg.norm(b), FLOOR) + logs)
    values = {"mel": float(np.mean(mel)), "stft": float(np.mean(convergence))}
    ratio = si_sdr(made_S, real_S)
    return values if ratio is None else {**values, "si_sdr": ratio}


def si_sdr(made_S: np.ndarray, real_S: np.ndarray) -> float | None:
    """dB, within +-100 (Le Roux et al. 2019); None where one of the two is constant."""
    made, real = (each.astype(np.float64) - each.mean() for each in (made_S, real_S))
    if not made.any() or not real.any():
        return None
    target = (made @ real) / (real @ real) * real
    wanted, rest = target @ target, (made - target) @ (made - target)
    return float(np.clip(10 * np.log10(max(wanted, 1e-300) / max(rest, 1e-300)), -100, 100))


def _spectrum(samples_S: np.ndarray, size: int) -> np.ndarray:
    padded = np.pad(samples_S.astype(np.float64), (0, max(0, size - len(samples_S))))
    return stft(padded, nperseg=size, noverlap=size - size // 4)[2]


def _mel_bank(size: int) -> np.ndarray:
    """[80, size / 2 + 1] triangles of unit sum over 0..Nyquist, on the HTK mel scale of 48 kHz."""
    hertz = np.linspace(0, 24_000, size // 2 + 1)
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 24_000 / 700), BANDS + 2) / 2595) - 1)
    low, mid, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bank = np.maximum(0, np.minimum((hertz - low) / (mid - low), (high - hertz) / (high - mid)))
    empty = bank.sum(1) == 0  # bands narrower than a bin take the nearest one
    bank[empty, np.abs(hertz - mid[empty]).argmin(1)] = 1
    return bank / bank.sum(1, keepdims=True)
