"""Spectra, tones and overlapping frames of audio: what the spectral codec's networks read and write.

Legend: B batch, C channels, S samples, N spectra, K frequencies or tones, L latent frames, W window, H hop,
F frequencies, J spectra in a latent frame.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

HOPS = 4  # hops in a window
COMPRESSION = 0.3  # power of the magnitudes of the complex spectra that the encoder sees
QUIETEST = 1e-2  # magnitudes that the logs tell apart lie above it
LEVEL_POWER = 0.7  # of a frame's level, by which its samples are divided
TONE_CYCLES = (2, 512)  # lowest and highest tone, in cycles per latent frame
TONE_REACH = 25  # bands over which the level around a tone is averaged
QUIETEST_TONE = 0.1  # magnitude in a window of two latent frames, that logs tell apart


def lapped_frames(audio_BCS: Tensor, hop: int) -> Tensor:
    """Return the windowed samples of each frame and half a frame on either side; float32 [B, L, C 2 hop].

    They are divided by their level to the power 0.7, so that quiet and loud frames count alike.
    """
    frames_BCLW = F.pad(audio_BCS.float(), (hop // 2, hop - hop // 2)).unfold(-1, 2 * hop, hop)
    frames_BCLW = frames_BCLW * _window(2 * hop, audio_BCS).sqrt()
    level_BCL1 = (frames_BCLW.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    return (frames_BCLW / level_BCL1**LEVEL_POWER).transpose(1, 2).flatten(2)


def overlap_frames(frames_BCLW: Tensor, hop: int) -> Tensor:
    """Return the audio [B, C, L * hop] of overlapping frames [B, C, L, 2 hop], windowed and added."""
    first, second = (frames_BCLW * _window(2 * hop, frames_BCLW).sqrt()).chunk(2, -1)
    audio_BCS = (F.pad(first, (0, 0, 0, 1)) + F.pad(second, (0, 0, 1, 0))).flatten(-2)
    return audio_BCS[..., hop // 2 : hop // 2 + frames_BCLW.shape[2] * hop]


def tone_cycles(per_octave: int, hop: int) -> tuple[int, ...]:
    """Return the cycles per latent frame of the tones, `per_octave` in each octave; none: ().

    They are integers, so that a tone continues from frame to frame in any part of a stream; the lowest
    octaves have no more than these.
    """
    if not per_octave:
        return ()
    low, high = TONE_CYCLES
    steps = int(per_octave * math.log2(min(high, hop // 3) / low))
    return tuple(sorted({round(low * 2 ** (i / per_octave)) for i in range(steps + 1)}))


def tone_levels(audio_BCS: Tensor, cycles: Sequence[int], hop: int) -> Tensor:
    """Return the log levels of the bands around the tones in each latent frame; float32 [B, L, 2 C K].

    Once less their mean over neighboring bands, where a tone stands out of any noise, and once as they are.
    """
    frames_BCLW = F.pad(audio_BCS.float(), (hop // 2, hop - hop // 2)).unfold(-1, 2 * hop, hop)
    x_BCLF = torch.fft.rfft(frames_BCLW * _window(2 * hop, audio_BCS))
    power_BCLF = x_BCLF.real.square() + x_BCLF.imag.square()
    edges = [2 * cycles[0] - 1, *(a + b for a, b in pairwise(cycles)), 2 * cycles[-1] + 2]
    sums_BCLF = F.pad(power_BCLF.cumsum(-1, dtype=torch.float64), (1, 0))[..., edges]
    logs_BCLK = 0.5 * torch.log(sums_BCLF.diff(dim=-1) + QUIETEST_TONE**2).float()
    around = F.avg_pool1d(
        logs_BCLK.flatten(0, 2), TONE_REACH, 1, TONE_REACH // 2, count_include_pad=False
    ).view_as(logs_BCLK)
    return torch.cat([logs_BCLK - around, 0.3 * logs_BCLK], -1).permute(0, 2, 1, 3).flatten(2)


def tone_bank(cycles: Sequence[int], frame: int, hop: int, device: torch.device) -> Tensor:
    """Return the tones around each spectrum of a latent frame, for `overlap_frames`; [J, K, 2 hop]."""
    at_S = torch.arange(frame + hop, device=device) - hop // 2
    cycles_K = torch.tensor(cycles, device=device)
    phase_KS = (cycles_K[:, None] * at_S % frame) / frame
    # another offset for each tone: in phase they would add up to a click in every frame
    offset_K = cycles_K.double().square() * ((5**0.5 - 1) / 2) % 1
    tones_KS = torch.cos(2 * math.pi * (phase_KS + offset_K.float()[:, None]))
    return (tones_KS.unfold(-1, 2 * hop, hop) * _window(2 * hop, tones_KS).sqrt()).transpose(0, 1)


def spectral_features(audio_BCS: Tensor, hop: int) -> Tensor:
    """Return what the encoder sees of each spectrum, float32 [B, N, 3 C K].

    Real and imaginary parts, with magnitudes to the power 0.3, and the logs of the magnitudes. Loudness is an
    offset of the logs, which the layer norms of the blocks leave visible; they divide out a factor.
    """
    window_W = _window(HOPS * hop, audio_BCS)
    border = (HOPS - 1) * hop // 2
    frames_BCNW = F.pad(audio_BCS.float(), (border, border)).unfold(-1, HOPS * hop, hop)
    x_BCNK = torch.fft.rfft(frames_BCNW * window_W)
    power_BCNK = x_BCNK.real.square() + x_BCNK.imag.square()
    parts = torch.view_as_real(x_BCNK * (power_BCNK + 1e-8).pow((COMPRESSION - 1) / 2))
    logs = 0.5 * (0.5 * torch.log(power_BCNK + QUIETEST**2) + 1)
    return torch.cat([parts, logs[..., None]], -1).permute(0, 2, 1, 3, 4).flatten(2)


def inverse_spectra(x_BCNK: Tensor, hop: int) -> Tensor:
    """Return the audio [B, C, N * hop] of spectra, by weighted overlap-add."""
    window_W = _window(HOPS * hop, x_BCNK.real)
    frames_BCNW = torch.fft.irfft(x_BCNK, HOPS * hop) * window_W
    envelope = _overlap_add(window_W.square().expand(1, 1, x_BCNK.shape[2], -1), hop)
    border = (HOPS - 1) * hop // 2
    length = x_BCNK.shape[2] * hop
    return (_overlap_add(frames_BCNW, hop) / envelope.clamp(min=1e-8))[..., border : border + length]


def _overlap_add(frames_BCNW: Tensor, hop: int) -> Tensor:
    """Add up frames, each `hop` samples after the one before; [B, C, (N + 3) * hop]."""
    parts = frames_BCNW.unflatten(-1, (HOPS, hop))
    out = sum(F.pad(parts[..., k, :], (0, 0, k, HOPS - 1 - k)) for k in range(HOPS))
    assert isinstance(out, Tensor)
    return out.flatten(-2)


def _window(length: int, like: Tensor) -> Tensor:
    return torch.hann_window(length, device=like.device)
