"""Distances of audio against closed forms and an independent filter bank."""

import math

import numpy as np
import pytest
import torch

from src.losses.audio import (
    complex_distance,
    fold_channels,
    log_error_ratio,
    mel_bank,
    mel_distance,
    relative_error,
    root_mel_distance,
    si_sdr,
    stft_distance,
)

WINDOWS, BANDS = (512, 128), (20, 10)


@pytest.mark.parametrize(("rate", "window", "bands"), [(48_000, 2048, 160), (16_000, 512, 40)])
def test_filters_are_those_of_librosa(rate: int, window: int, bands: int) -> None:
    audio_utils = pytest.importorskip("transformers.audio_utils")
    expected = audio_utils.mel_filter_bank(
        window // 2 + 1, bands, 0.0, rate / 2, rate, norm="slaney", mel_scale="slaney"
    )
    np.testing.assert_allclose(mel_bank(rate, window, bands).numpy(), expected.T, atol=1e-7)


def test_equal_signals_have_no_distance_and_a_gain_of_ten_is_one_per_window() -> None:
    x = torch.randn(3, 4000)
    assert mel_distance(x, x, 16_000, WINDOWS, BANDS).tolist() == [0.0] * 3
    assert stft_distance(x, x, WINDOWS).tolist() == [0.0] * 3
    torch.testing.assert_close(mel_distance(10 * x, x, 16_000, WINDOWS, BANDS), torch.full((3,), 2.0))
    logs_and_levels = stft_distance(10 * x, x, (512,))
    spectrum = torch.stft(x, 512, 128, window=torch.hann_window(512), return_complex=True).abs()
    torch.testing.assert_close(logs_and_levels, 2.0 + 9 * spectrum.mean((1, 2)), atol=1e-3, rtol=1e-3)


def test_roots_of_mel_magnitudes_count_loud_bands_and_a_floor_hides_quiet_ones() -> None:
    time = torch.arange(8000) / 16_000
    tone, noise = torch.sin(2000 * time)[None], 1e-3 * torch.randn(1, 8000)
    x = tone + noise
    missing = {"tone": noise, "noise": tone}
    roots, logs = (
        {name: float(distance(y, x, 16_000, (512,), (40,))) for name, y in missing.items()}
        for distance in (root_mel_distance, mel_distance)
    )
    assert roots["tone"] > 3 * roots["noise"]
    assert logs["tone"] < logs["noise"]
    assert float(mel_distance(tone, x, 16_000, (512,), (40,), floor=1.0)) < 0.05 * logs["noise"]


def test_the_square_makes_a_missing_tone_count() -> None:
    x = torch.randn(3, 4000)
    found = mel_distance(10 * x, x, 16_000, WINDOWS, BANDS, square=0.5)
    torch.testing.assert_close(found, torch.full((3,), 3.0))
    tone = torch.sin(torch.arange(8000) / 5)[None]
    noise, other = 1e-2 * torch.randn(2, 1, 8000)
    distances = [
        float(mel_distance(*pair, 16_000, (512,), (40,), square=square))
        for square in (0.0, 1e3)
        for pair in ((noise, tone + noise), (noise, other))
    ]
    assert distances[2] / distances[3] > 5 * distances[0] / distances[1]


def test_error_ratio_is_the_negative_snr_in_bels() -> None:
    x = torch.randn(2, 4000)
    torch.testing.assert_close(log_error_ratio(1.1 * x, x), torch.full((2,), -2.0), atol=1e-3, rtol=0)
    assert log_error_ratio(1e-5 * x, 2e-5 * x).abs().max() < 1e-3


def test_only_the_complex_distance_and_the_waveform_see_the_sign() -> None:
    x = torch.randn(2, 4000)
    assert mel_distance(-x, x, 16_000, WINDOWS, BANDS).max() < 1e-5
    assert complex_distance(-x, x, WINDOWS).min() > 0.5
    assert relative_error(-x, x).min() > 0.5


def test_relative_error_is_its_formula() -> None:
    x, y = torch.tensor([[0.5, 0.0]]), torch.tensor([[0.3, 0.08]])
    assert float(relative_error(x, y)) == pytest.approx((0.2 / 0.32 + 0.08 / 0.1) / 2)


def test_si_sdr_is_its_definition() -> None:
    y = torch.sin(torch.arange(4800) / 7.0)[None]
    noise = torch.cos(torch.arange(4800) / 7.0)[None]  # orthogonal, of equal energy
    assert float(si_sdr(3 * (y + 0.1 * noise), y)) == pytest.approx(20.0, abs=0.05)
    assert float(si_sdr(y + 0.5, y)) == 100.0  # the mean does not count
    assert float(si_sdr(torch.zeros_like(y), y)) == -100.0
    assert math.isnan(float(si_sdr(y, torch.zeros_like(y))))


@pytest.mark.parametrize("signal", ["silence", "one sample", "shorter than a window"])
def test_gradients_are_finite(signal: str) -> None:
    target = torch.randn(1, {"silence": 2000, "one sample": 1, "shorter than a window": 100}[signal])
    x = torch.zeros_like(target, requires_grad=True)
    total = mel_distance(x, target, 16_000, WINDOWS, BANDS) + complex_distance(x, target, WINDOWS)
    (total + stft_distance(x, target, WINDOWS) + relative_error(x, target)).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_stereo_is_compared_by_sides_and_by_middle() -> None:
    audio = torch.randn(2, 2, 10)
    folded = fold_channels(audio).view(2, 4, 10)
    torch.testing.assert_close(folded[:, 2], audio.mean(1))
    torch.testing.assert_close(folded[:, 3], (audio[:, 0] - audio[:, 1]) / 2)
    assert fold_channels(audio[:, :1]).shape == (2, 10)
