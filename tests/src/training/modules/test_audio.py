"""Masks, dropout of conditions, losses and validation of the audio module."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from src.training.modules.audio_config import ModeConfig
from src.training.modules.audio_model import context_channels, known_latents
from tests.fixtures.toy_audio import MODES, NUM_LATENTS, make_batch, perturbed_audio_module
from tests.fixtures.toy_modules import ToyLatents, train_config, video_module


class Spy:
    """Stands in for `AudioModel.velocity_loss`, and keeps what it is called with."""

    def __init__(self) -> None:
        self.condition: list[str] = []
        self.known: list[torch.Tensor] = []
        self.video: list[torch.Tensor] = []

    def __call__(self, x: Any, noise: Any, t_B: Any, condition: Any, known_BN: Any, video_BND: Any) -> Any:
        self.condition += condition
        self.known.append(known_BN)
        self.video.append(video_BND)
        return torch.zeros(len(x))


def test_conditions_are_dropped_together_and_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    module, spy = perturbed_audio_module(full_mask_prob=0.0), Spy()
    monkeypatch.setattr("src.training.modules.audio_model.AudioModel.velocity_loss", staticmethod(spy))
    with torch.no_grad():
        for step in range(150):
            module.training_loss(make_batch(step=step, num_samples=8))
    text = torch.tensor([bool(caption) for caption in spy.condition])
    video = torch.cat(spy.video).flatten(1).any(1)
    known = torch.cat(spy.known).any(1)
    nothing = ~text & ~video
    assert text.float().mean() == pytest.approx(0.8 * 0.9, abs=0.04)
    assert video.float().mean() == pytest.approx(0.8 * 0.9, abs=0.04)
    assert (text & video).float().mean() == pytest.approx(0.8 * 0.81, abs=0.04)
    assert nothing.float().mean() == pytest.approx(0.2 + 0.8 * 0.01, abs=0.03)
    assert not known[nothing].float().mean() > 0.1  # known audio is dropped with them
    assert known[text & video].float().mean() > 0.7


def test_the_loss_counts_where_audio_is_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    module, batch = perturbed_audio_module(), make_batch()
    model, known = module.model(), torch.zeros(4, NUM_LATENTS, dtype=torch.bool)
    known[:, :5] = True
    x = model.normalize(batch.mean_BCTHW)
    noise, t = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)), torch.full((4,), 0.5)
    monkeypatch.setattr(module.transformer, "forward", lambda x, *rest: torch.zeros_like(x))
    masked = model.velocity_loss(x, noise, t, batch.captions, known, None)
    error = (x - (1 - 1e-5) * noise).square()[..., 0, 0]
    torch.testing.assert_close(masked, error[:, :, 5:].mean((1, 2)))
    model.flow = replace(model.flow, loss_region="all")
    everywhere = model.velocity_loss(x, noise, t, batch.captions, known, None)
    torch.testing.assert_close(everywhere, error.mean((1, 2)))


def test_known_audio_is_a_condition_of_its_own_channels() -> None:
    module, batch = perturbed_audio_module(), make_batch()
    model, known = module.model(), torch.zeros(4, NUM_LATENTS, dtype=torch.bool)
    known[:, :5] = True
    x = model.normalize(batch.mean_BCTHW)
    other = x.clone()
    other[:, :, :5] += 1.0

    def loss(context: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        noise = torch.zeros_like(x)
        t = torch.zeros(4)  # at the noise the data reach the model through the condition alone
        return model.velocity_loss(context, noise, t, batch.captions, mask, None)

    with torch.no_grad():
        assert not torch.allclose(loss(x, known), loss(other, known))
    channels = context_channels(x, known)
    assert torch.equal(channels[:, :2, :5], x[:, :, :5])
    assert not channels[:, :2, 5:].any()  # what is generated is not given away
    assert torch.equal(channels[:, 2, :, 0, 0], known.float())


def test_flow_times_of_audio_and_video_are_independent_draws() -> None:
    audio, video, pairs = perturbed_audio_module(), video_module(train_config()), []
    video.configure_model()
    for step in range(64):
        batch = make_batch(step=step)
        latents = replace(ToyLatents(0, 1)[3 * step], step=step)
        pairs.append(
            torch.stack([audio.prepare(batch, audio.model())[2], video.prepare(latents, video.model())[2]], 1)
        )
    times = torch.cat(pairs)
    assert not (times[:, 0] == times[:, 1]).any()
    assert abs(float(torch.corrcoef(times.T)[0, 1])) < 0.2


def test_each_mode_has_a_validation_loss_of_its_own() -> None:
    module = perturbed_audio_module()
    losses = module.validation_losses(make_batch())
    times = {name for name in losses if name.startswith("val/loss_t0")}
    assert len(times) == 2
    assert losses.keys() - times == {"val/loss", *(f"val/loss_{name}" for name in MODES)}
    counted = [losses[f"val/loss_{name}"] for name in MODES if name != "shuffled"]
    torch.testing.assert_close(losses["val/loss"], torch.stack(counted).mean(0))
    torch.testing.assert_close(losses["val/loss"], torch.stack([losses[n] for n in times]).mean(0))
    values = torch.stack([losses[f"val/loss_{name}"] for name in MODES])
    assert len(values.mean(1).unique()) == len(MODES)  # every mode sees something else


def test_modes_without_their_condition_are_left_out() -> None:
    module = perturbed_audio_module()
    assert module.validation_losses(make_batch(with_video=False)).keys() >= {"val/loss_t2a", "val/loss"}
    assert "val/loss_v2a" not in module.validation_losses(make_batch(with_video=False))
    assert "val/loss_shuffled" not in module.validation_losses(make_batch(1))
    with torch.no_grad():
        module.training_loss(make_batch(with_video=False))


def test_the_modes_of_the_configs_know_what_they_say() -> None:
    known = known_latents(ModeConfig(context="ends", start_s=1.0, stop_s=2.0), 40, 10.0)
    assert known.nonzero()[:, 0].tolist() == [*range(10), *range(20, 40)]
    assert known_latents(ModeConfig(context="suffix", context_fraction=0.25), 40, 10.0).tolist() == (
        [False] * 30 + [True] * 10
    )
    assert (~known_latents(ModeConfig(context="ends", start_s=9, stop_s=10), 5, 1.0)).sum() == 1
    with pytest.raises(ValueError, match="need context=ends and start_s below stop_s"):
        ModeConfig(context="prefix", stop_s=1.0)
    with pytest.raises(ValueError, match="video=cut needs a context"):
        ModeConfig(video="cut")


def test_the_side_loss_trains_the_video_network() -> None:
    plain, with_side = perturbed_audio_module(), perturbed_audio_module(video_latent_weight=0.5)
    assert plain.video.latent_out is None
    batch = make_batch()
    with_side.training_loss(batch).mean().backward()
    assert with_side.video.latent_out is not None
    assert with_side.video.latent_out.weight.grad.abs().sum() > 0  # type: ignore[union-attr]


def test_frames_are_mirrored_and_transposed_by_sample() -> None:
    batch = make_batch(8)
    frames = torch.arange(8 * 6 * 3 * 16 * 16).reshape(8, 6, 3, 16, 16).float()
    views = perturbed_audio_module(frame_augmentation="transpositions")._augment(batch, frames)
    kinds = set()
    for before, after in zip(frames, views, strict=True):
        names = {
            f"{flips}{transposed}"
            for flips in ((), (2,), (3,), (2, 3))
            for transposed in (False, True)
            if torch.equal(after, before.flip(flips).transpose(2, 3) if transposed else before.flip(flips))
        }
        assert len(names) == 1
        kinds |= names
    assert len(kinds) > 2
    flipped = perturbed_audio_module(frame_augmentation="flips")._augment(batch, frames)
    assert not any(torch.equal(a, b.transpose(2, 3)) for a, b in zip(flipped, frames, strict=True))
