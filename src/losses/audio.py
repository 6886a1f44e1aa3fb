"""Distances between a reconstruction and its audio, on spectra and on samples.

Signals are [N, S]: channels folded into the batch, see `fold_channels`. Distances are means over bands and
time, one number for each signal; `.mean()` makes a loss of them.

Legend: N signals, S samples, B batch, C channels, K bins, M mel bands, T spectra.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

FLOOR = 1e-5  # magnitudes below it count as it
COMPRESSION = 0.3
RATIO_FLOOR = 3e-3  # level of error and signal that counts as none
LEVEL = 0.02  # of full scale: errors of quieter samples count as if they were this loud


def fold_channels(audio_BCS: Tensor) -> Tensor:
    """Return the channels as signals [N, S]; of stereo also the mean and half the difference.

    Distances of left and right alone would not notice a phase error between them.
    """
    if audio_BCS.shape[1] == 2:
        left, right = audio_BCS.unbind(1)
        audio_BCS = torch.stack([left, right, (left + right) / 2, (left - right) / 2], 1)
    return audio_BCS.flatten(0, 1)


def stft(x_NS: Tensor, window: int) -> Tensor:
    """Return complex spectra [N, K, T]: Hann window, hop of a quarter, reflected at the borders."""
    padded = F.pad(x_NS.float(), (0, max(0, window - x_NS.shape[-1])))
    window_W = torch.hann_window(window, device=x_NS.device)
    return torch.stft(padded, window, window // 4, window=window_W, return_complex=True)


def magnitudes(x_NKT: Tensor) -> Tensor:
    """Return magnitudes of at least the floor, whose gradient is 0 below it instead of infinite at 0."""
    return (x_NKT.real.square() + x_NKT.imag.square()).clamp(min=FLOOR**2).sqrt()


@lru_cache(64)
def mel_bank(sample_rate: int, window: int, num_bands: int) -> Tensor:
    """Return triangular filters [M, K] of equal area on Slaney's mel scale, up to half the rate (librosa).

    A band narrower than a bin may be empty, as there.
    """
    edges = _mel_to_hertz(
        torch.linspace(0, _hertz_to_mel(sample_rate / 2), num_bands + 2, dtype=torch.float64)
    )
    hertz = torch.linspace(0, sample_rate / 2, window // 2 + 1, dtype=torch.float64)
    low, mid, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bank = torch.minimum((hertz - low) / (mid - low), (high - hertz) / (high - mid)).clamp(min=0)
    return (bank * 2 / (high - low)).float()


def _hertz_to_mel(hertz: float) -> float:
    return 15 + 27 * float(torch.log(torch.tensor(hertz / 1000, dtype=torch.float64))) / _LOG_6_4


def _mel_to_hertz(mel: Tensor) -> Tensor:
    return torch.where(mel < 15, mel * 200 / 3, 1000 * torch.exp((mel - 15) / 27 * _LOG_6_4))


_LOG_6_4 = 1.8562979903656263  # log(6.4): 27 mels from 1000 to 6400 Hz


def mel_distance(
    x_NS: Tensor,
    target_NS: Tensor,
    sample_rate: int,
    windows: Sequence[int],
    bands: Sequence[int],
    floor: float = FLOOR,
    square: float = 0.0,
) -> Tensor:
    """Return the absolute difference of log10 mel magnitudes, summed over windows as in DAC; [N].

    `square` times its square is added: a tone that is missing by two decades then counts for more than many
    bands of noise, which no codec can reproduce.
    """
    total = x_NS.new_zeros(len(x_NS), dtype=torch.float32)
    for window, num_bands in zip(windows, bands, strict=True):
        x, target = (
            torch.log10(mel_magnitudes(each, sample_rate, window, num_bands).clamp(min=floor))
            for each in (x_NS, target_NS)
        )
        error = (x - target).abs()
        total = total + (error + square * error.square()).mean((1, 2))
    return total


def root_mel_distance(
    x_NS: Tensor, target_NS: Tensor, sample_rate: int, windows: Sequence[int], bands: Sequence[int]
) -> Tensor:
    """Return the absolute difference of square roots of mel magnitudes, summed over windows; [N].

    Loud bands count for more than quiet ones, as logs do not let them: a tone over noise.
    """
    total = x_NS.new_zeros(len(x_NS), dtype=torch.float32)
    for window, num_bands in zip(windows, bands, strict=True):
        # the gradient of the root is finite at 0
        x, target = (
            (mel_magnitudes(each, sample_rate, window, num_bands) + 1e-4).sqrt() for each in (x_NS, target_NS)
        )
        total = total + (x - target).abs().mean((1, 2))
    return total


def mel_magnitudes(x_NS: Tensor, sample_rate: int, window: int, num_bands: int) -> Tensor:
    """Return the magnitudes of mel bands [N, M, T]."""
    bank_MK = mel_bank(sample_rate, window, num_bands).to(x_NS.device)
    return bank_MK @ magnitudes(stft(x_NS, window))


def stft_distance(x_NS: Tensor, target_NS: Tensor, windows: Sequence[int]) -> Tensor:
    """Return absolute differences of magnitudes and of logs of their squares, summed over windows; [N]."""
    total = x_NS.new_zeros(len(x_NS), dtype=torch.float32)
    for window in windows:
        x, target = (magnitudes(stft(each, window)) for each in (x_NS, target_NS))
        logs = (2 * (torch.log10(x) - torch.log10(target))).abs()
        total = total + ((x - target).abs() + logs).mean((1, 2))
    return total


def complex_distance(x_NS: Tensor, target_NS: Tensor, windows: Sequence[int]) -> Tensor:
    """Return the absolute difference of complex spectra with magnitudes to the power 0.3, summed; [N].

    Unlike the distances of magnitudes it sees the phase; compression keeps quiet parts audible to it.
    """
    total = x_NS.new_zeros(len(x_NS), dtype=torch.float32)
    for window in windows:
        x, target = (_compress(stft(each, window)) for each in (x_NS, target_NS))
        total = total + torch.view_as_real(x - target).abs().mean((1, 2, 3))
    return total


def _compress(x_NKT: Tensor) -> Tensor:
    # 1e-4: the gradient at silence, where the power would be infinitely steep, stays below 25
    return x_NKT * (x_NKT.real.square() + x_NKT.imag.square() + 1e-4).pow((COMPRESSION - 1) / 2)


def relative_error(x_NS: Tensor, target_NS: Tensor) -> Tensor:
    """Return the mean of |x - target| / (|target| + 0.02), which asks for the waveform itself; [N]."""
    return ((x_NS - target_NS).abs() / (target_NS.abs() + LEVEL)).mean(1)


def log_error_ratio(x_NS: Tensor, target_NS: Tensor) -> Tensor:
    """Return log10 of the error's power over the signal's, both above -50 dB of full scale; [N].

    The negative SNR in bels: what is loud decides, however short it is. Signals near the floor hardly count.
    """
    error_N, power_N = (each.square().mean(1) + RATIO_FLOOR**2 for each in (x_NS - target_NS, target_NS))
    return torch.log10(error_N / power_N)


def si_sdr(x_NS: Tensor, target_NS: Tensor) -> Tensor:
    """Return the scale-invariant signal-to-distortion ratio in dB, means removed, within +-100; [N].

    Silence instead of a signal has -100; silent targets, for which it is not defined, give NaN (Le Roux et
    al. 2019).
    """
    x, target = (each.double() - each.double().mean(1, keepdim=True) for each in (x_NS, target_NS))
    return si_sdr_of_sums((x * target).sum(1), (x * x).sum(1), (target * target).sum(1))


def si_sdr_of_sums(xy_N: Tensor, xx_N: Tensor, yy_N: Tensor) -> Tensor:
    """Return SI-SDR in dB from the products of signal and target without means, float64 [N]."""
    signal = xy_N.square() / yy_N
    noise = (xx_N - signal).clamp(min=1e-300)
    ratio = (10 * torch.log10(signal.clamp(min=1e-300) / noise)).clamp(-100, 100)
    ratio = torch.where(xx_N > 0, ratio, torch.full_like(ratio, -100.0))
    return torch.where(yy_N > 0, ratio, torch.full_like(ratio, torch.nan))
