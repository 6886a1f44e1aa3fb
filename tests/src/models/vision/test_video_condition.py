"""Features of videos at the times of audio latents."""

import pytest
import torch

from src.models.vision.config import VideoConditionConfig
from src.models.vision.video_condition import VideoClips, VideoCondition, resample
from src.parallel.meta_init import initialize

CONFIG = VideoConditionConfig(height=16, width=16, channels=4, hidden_size=8, initial_gate=1.0)


def make_clips(times: torch.Tensor, seed: int = 0) -> VideoClips:
    shape = (*times.shape, 3, 16, 16)
    return VideoClips(torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1, None, times)


def make_network(config: VideoConditionConfig = CONFIG, latent_channels: int = 0) -> VideoCondition:
    network = VideoCondition(config, 12, latent_channels)
    initialize(network, 0)
    return network


def test_features_are_interpolated_by_the_time_stamps() -> None:
    times = torch.tensor([[0.0, 0.5, 2.0, 2.5], [0.1, 0.2, 0.3, 0.4]])  # uneven, and of another rate
    x = torch.stack([times, -times], 2)  # each feature is a function of time
    at = torch.tensor([0.25, 1.0, 2.25])
    found, shown = resample(x, times, at)
    torch.testing.assert_close(found[0, :, 0], at)
    torch.testing.assert_close(found[0, :, 1], -at)
    assert shown[0].all()
    torch.testing.assert_close(found[1, :1, 0], at[:1])
    assert shown[1].tolist() == [True, False, False]  # that video is over


def test_where_a_video_is_shown() -> None:
    times = torch.tensor([[1.0, 1.5, 2.0]])  # begins late, and its last frame is shown for 0.5 s
    _, shown = resample(torch.zeros(1, 3, 2), times, torch.tensor([0.9, 1.0, 2.4, 2.6]))
    assert shown.tolist() == [[False, True, True, False]]
    one, shown = resample(torch.ones(1, 1, 2), torch.tensor([[0.0]]), torch.tensor([0.0, 3.0]))
    assert shown.all()
    assert torch.equal(one, torch.ones(1, 2, 2))


def test_a_gate_of_zero_lets_nothing_through_and_learns() -> None:
    network = make_network(VideoConditionConfig(height=16, width=16, channels=4, hidden_size=8))
    features, _, latent = network(make_clips(torch.arange(6)[None] / 8), 10, 20.0)
    assert latent is None
    assert not features.any()
    (features * torch.randn(features.shape)).sum().backward()
    assert float(network.gate.value.grad.abs()) > 0  # type: ignore[union-attr]


def test_a_change_in_a_frame_acts_at_its_time() -> None:
    network, times = make_network(latent_channels=5), torch.arange(16)[None] / 16
    clips = make_clips(times)
    with torch.no_grad():
        before, shown, latent = network(clips, 30, 25.0)
        clips.frames_BTCHW[0, 8] *= -1  # type: ignore[index]
        after, _, _ = network(clips, 30, 25.0)
    assert latent is not None
    assert latent.shape == (1, 5, 30)
    effect = (after - before).abs().sum(2)[0]
    assert float(effect.argmax() / 25) == pytest.approx(0.5, abs=0.1)
    assert not effect[:6].any()  # before: out of reach of the convolutions over time
    assert not after[0, ~shown[0]].any()
    assert shown[0].sum() == 25


def test_stored_features_need_no_frames() -> None:
    config = VideoConditionConfig(source="features", feature_dim=7, initial_gate=1.0)
    network = make_network(config)
    assert network.encoder is None
    times = (torch.arange(4) / 2).expand(2, 4)
    features = torch.randn(2, 4, 7, generator=torch.Generator().manual_seed(1))
    out, _, _ = network(VideoClips(None, features, times), 5, 2.5)
    assert out.shape == (2, 5, 12)
    assert torch.equal(
        network(VideoClips(None, features, times).rolled(), 5, 2.5)[0], out.roll(1, 0)
    )  # samples do not see each other


@pytest.mark.parametrize("sizes", [(20,), (1, 1, 1, 17), (7, 6, 7), (19, 1)])
def test_frames_in_chunks_have_the_features_of_one_pass(sizes: tuple[int, ...]) -> None:
    encoder = make_network().encoder
    assert encoder is not None
    frames = torch.randn(2, 20, 3, CONFIG.height, CONFIG.width, generator=torch.Generator().manual_seed(1))
    found = list(encoder.encode_stream(frames.split(sizes, 1)))
    torch.testing.assert_close(torch.cat(found, 1), encoder(frames))
