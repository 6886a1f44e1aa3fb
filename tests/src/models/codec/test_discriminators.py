"""Discriminators of waveforms: outputs, invariances, gradients."""

import pytest
import torch

from src.models.codec.config import AudioDiscriminatorConfig
from src.models.codec.discriminators import AudioDiscriminator, PeriodDiscriminator

SMALL = AudioDiscriminatorConfig(periods=(2, 3), windows=(64,), period_channels=2, stft_channels=2)


def test_defaults_are_those_of_dac() -> None:
    c = AudioDiscriminatorConfig()
    assert c.periods == (2, 3, 5, 7, 11)
    assert c.windows == (2048, 1024, 512)
    with pytest.raises(ValueError, match="both empty"):
        AudioDiscriminatorConfig(periods=(), windows=())


@pytest.mark.parametrize("num_samples", [1, 30, 1000])
def test_every_member_gives_features_and_logits(num_samples: int) -> None:
    outputs = AudioDiscriminator(SMALL)(torch.randn(3, 2, num_samples))
    assert [len(each) for each in outputs] == [6, 6, 5 * 5 + 1]
    assert all(each[-1].shape[:2] == (6, 1) for each in outputs)  # channels are signals of their own


def test_loudness_and_offset_are_not_seen() -> None:
    discriminator, audio = AudioDiscriminator(SMALL), torch.randn(1, 1, 500)
    a, b = discriminator(audio), discriminator(0.1 * audio + 0.3)
    for one, other in zip(a, b, strict=True):
        torch.testing.assert_close(one[-1], other[-1], atol=1e-4, rtol=1e-3)


def test_a_period_discriminator_sees_each_column_by_itself() -> None:
    """A sample changes the logits of its own column only."""
    discriminator, audio = PeriodDiscriminator(3, 2), torch.randn(1, 300)
    changed = audio.clone()
    changed[0, 100] += 1.0  # column 100 % 3 = 1
    difference = (discriminator(changed)[-1] - discriminator(audio)[-1]).detach().abs().amax((0, 1, 2))
    assert difference[1] > 0
    assert float(difference[0]) == float(difference[2]) == 0.0


def test_gradients_reach_the_audio() -> None:
    audio = torch.randn(1, 1, 500, requires_grad=True)
    torch.stack([each[-1].mean() for each in AudioDiscriminator(SMALL)(audio)]).sum().backward()
    assert audio.grad is not None
    assert audio.grad.abs().amax() > 0
