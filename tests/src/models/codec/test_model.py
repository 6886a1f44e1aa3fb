"""The codec: shapes at any length, the paper's size, layers against their definitions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from src.core import config
from src.models.codec.config import CodecConfig, DACConfig, SpectralConfig
from src.models.codec.layers import Conv1d, Snake, reflect_pad
from src.models.codec.model import Codec, count_parameters
from src.models.codec.posterior import AudioPosterior
from src.models.codec.spectra import (
    COMPRESSION,
    inverse_spectra,
    overlap_frames,
    spectral_features,
    tone_bank,
    tone_cycles,
)
from src.models.codec.spectral import SpectralDecoder
from src.runs.config import CodecRunConfig

PAPER = Path(__file__).resolve().parents[4] / "configs" / "paper" / "codec.yaml"
KINDS = ("dac", "spectral")


def small(kind: str, **changes: object) -> CodecConfig:
    """A codec of 96 samples per latent frame."""
    dac = DACConfig(strides=(2, 3, 4, 4), encoder_channels=2, hidden_channels=8, decoder_channels=16)
    spectral = SpectralConfig(
        hop=96,
        frames=4,
        frame_channels=8,
        num_frame_blocks=1,
        hidden_channels=8,
        num_hidden_blocks=1,
        tones_per_octave=2,
    )
    return CodecConfig(**{"kind": kind, "latent_channels": 4, "dac": dac, "spectral": spectral, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_samples", [1, 50, 95, 96, 97, 1000])
def test_audio_of_any_length(kind: str, num_samples: int) -> None:
    codec = Codec(small(kind))
    audio = torch.randn(2, 1, num_samples).clamp(-1, 1)
    out = codec(audio)
    assert out.audio_BCS.shape == audio.shape
    assert out.latent_BCL.shape == (2, 4, -(-num_samples // 96)) == (2, *codec.latent_shape(num_samples))
    assert torch.equal(out.latent_BCL, out.posterior.mean_BCL)


@pytest.mark.parametrize("kind", KINDS)
def test_stereo_pairs(kind: str) -> None:
    codec = Codec(small(kind, num_channels=2))
    assert codec(torch.randn(3, 2, 200)).audio_BCS.shape == (3, 2, 200)
    with pytest.raises(ValueError, match=r"audio must be \[batch, 2, samples\], got shape \(3, 1, 200\)"):
        codec(torch.randn(3, 1, 200))


def test_no_samples() -> None:
    with pytest.raises(ValueError, match="audio without samples"):
        Codec(small("spectral"))(torch.zeros(1, 1, 0))


def test_size_and_rate_of_the_paper() -> None:
    c = config.load(CodecRunConfig, PAPER).model
    assert c == CodecConfig()
    assert (c.sample_rate, c.latent_channels, c.latent_rate, c.hop) == (48_000, 128, 25.0, 1920)
    width, hidden, decoder = 64, 1024, 1536

    def conv(inputs: int, outputs: int, kernel: int) -> int:  # weight, gain of each output, bias
        return inputs * outputs * kernel + 2 * outputs

    def units(channels: int) -> int:
        return 3 * (conv(channels, channels, 7) + conv(channels, channels, 1) + 2 * channels)

    total = conv(1, width, 7)
    for stride in (2, 8, 10, 12):
        total += units(width) + width + conv(width, 2 * width, 2 * stride)
        width *= 2
    total += width + conv(width, hidden, 3)
    total += conv(hidden, 256, 1) + conv(128, hidden, 1) + conv(hidden, decoder, 7)
    for stride in (12, 10, 8, 2):
        half = decoder // 2
        # the gains of a transposed convolution are those of its inputs
        total += decoder + decoder * half * 2 * stride + decoder + half + units(half)
        decoder = half
    total += decoder + conv(decoder, 1, 7)
    assert count_parameters(c) == total == 92_995_298


def test_snake_and_weight_norm_are_their_definitions() -> None:
    snake, x = Snake(3), torch.randn(2, 3, 50)
    with torch.no_grad():
        snake.alpha.copy_(torch.tensor([0.5, 1.0, 3.0]).view(1, 3, 1))
    expected = x + torch.sin(snake.alpha * x) ** 2 / snake.alpha
    torch.testing.assert_close(snake(x), expected)
    with torch.no_grad():
        torch.testing.assert_close(snake(x), expected)  # the path without gradients works in place
    x.requires_grad_()
    found = torch.autograd.grad((snake(x) ** 2).sum(), (x, snake.alpha))
    plain_snake = x + torch.sin(snake.alpha * x) ** 2 / snake.alpha
    expected_gradients = torch.autograd.grad((plain_snake**2).sum(), (x, snake.alpha))
    torch.testing.assert_close(found, expected_gradients, atol=1e-4, rtol=1e-4)
    conv = Conv1d(3, 5, 7, dilation=3)
    with torch.no_grad():
        conv.weight_g.mul_(2.0)
    plain = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv1d(3, 5, 7, padding=9, dilation=3))
    plain.parametrizations.weight.original0.data, plain.bias.data = conv.weight_g.data, conv.bias.data
    plain.parametrizations.weight.original1.data = conv.weight_v.data
    torch.testing.assert_close(conv(x), plain(x))


@pytest.mark.parametrize("num_samples", [1, 2, 5, 11, 12, 13])
def test_reflection_is_numpys(num_samples: int) -> None:
    x = torch.randn(1, 2, num_samples)
    padding = -num_samples % 12
    expected = np.pad(x.numpy(), ((0, 0), (0, 0), (0, padding)), mode="reflect")
    assert np.array_equal(reflect_pad(x, 12).numpy(), expected)


def test_kl_is_twice_that_of_the_normal_distribution() -> None:
    posterior = AudioPosterior.from_moments(torch.randn(2, 6, 5))
    normal = torch.distributions.Normal(posterior.mean_BCL, posterior.std_BCL)
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(posterior.kl_frames(), 2 * expected)
    assert posterior.std_BCL.min() >= 1e-4
    lowest = AudioPosterior.from_moments(torch.full((1, 2, 1), -100.0))
    assert float(lowest.std_BCL) == pytest.approx(1e-4)


def test_spectra_give_the_audio_back() -> None:
    audio = torch.randn(2, 2, 240)
    features = spectral_features(audio, 24).unflatten(2, (2, -1, 3)).permute(0, 2, 1, 3, 4)
    compressed = torch.view_as_complex(features[..., :2].contiguous())
    spectra = compressed * compressed.abs() ** (1 / COMPRESSION - 1)
    torch.testing.assert_close(inverse_spectra(spectra, 24), audio, atol=1e-4, rtol=1e-4)
    logs = 0.5 * (torch.log(spectra.abs().clamp(min=1e-3)) + 1)
    assert (features[..., 2] - logs)[spectra.abs() > 0.2].abs().max() < 1e-2


def test_a_spectral_codec_starts_with_a_latent_above_its_noise() -> None:
    """Else hundreds of steps pass before anything comes through; and louder audio has another latent."""
    codec = Codec(CodecConfig(kind="spectral"))
    audio = 0.1 * torch.randn(4, 1, 19_200)
    posterior, louder = codec.encode(audio), codec.encode(3 * audio)
    assert posterior.mean_BCL.std() > 5 * posterior.std_BCL.mean()
    assert (posterior.mean_BCL - louder.mean_BCL).std() > 2 * posterior.std_BCL.mean()


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="decoder_channels=24 cannot be halved 4 times"):
        DACConfig(decoder_channels=24)
    with pytest.raises(ValueError, match="hop=100 must be a multiple"):
        SpectralConfig(hop=100)


def test_tones_go_on_from_frame_to_frame() -> None:
    cycles = tone_cycles(12, 1920)
    assert cycles[0] == 2
    assert cycles[-1] == 512
    assert len(cycles) == len(set(cycles))
    bank = tone_bank(cycles, 1920, 240, torch.device("cpu"))
    for k in (0, 20, len(cycles) - 1):
        frames = bank[:, k].repeat(5, 1).reshape(1, 1, 40, 480)
        spectrum = torch.fft.rfft(overlap_frames(frames, 240)[0, 0, 1920:7680]).abs()
        assert int(spectrum.argmax()) == 3 * cycles[k]
        assert float(spectrum.square().max() / spectrum.square().sum()) > 0.999
        assert float(spectrum.max()) == pytest.approx(5760 / 2, rel=1e-3)


def test_the_decoder_sets_the_level_of_a_tone() -> None:
    config = small("spectral").spectral
    torch.manual_seed(0)
    decoder, latent = SpectralDecoder(config, 1), torch.randn(1, 8, 6)
    assert decoder.proj_out_tones is not None
    before = decoder(latent)
    tone = 3
    decoder.proj_out_tones.bias.data[tone] += 5.0
    added = (decoder(latent) - before)[0, 0, 96:-96].detach()
    spectrum = torch.fft.rfft(added).abs()
    assert int(spectrum.argmax()) == 4 * decoder.tone_cycles[tone]
    assert tone_cycles(0, 1920) == ()
    assert SpectralDecoder(replace(config, tones_per_octave=0), 1).proj_out_tones is None
