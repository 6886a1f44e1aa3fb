"""Sampling of latents from prompts."""

from typing import Any

import pytest
import torch

from src.flow.config import SamplerConfig
from src.flow.diffusion import angle
from src.inference.sample import sample_latents
from src.models.transformer.block import CrossAttention
from src.models.transformer.model import MediaTransformer
from src.training.modules.video import VideoModule
from src.training.modules.video_config import VideoFlowConfig
from tests.fixtures.toy_modules import ToyLatents, perturbed_video_module


@pytest.fixture
def module() -> VideoModule:
    return perturbed_video_module()


def test_samples_depend_on_prompt_and_seed_alone(module: VideoModule) -> None:
    shape = (4, 2, 4, 4)
    latents = sample_latents(module.model(ema=True), ["a star", "a ring"], shape, [1, 2])
    torch.manual_seed(3)
    assert torch.equal(sample_latents(module.model(ema=True), ["a star", "a ring"], shape, [1, 2]), latents)
    assert not torch.equal(
        sample_latents(module.model(ema=True), ["a star", "a ring"], shape, [1, 3]), latents
    )
    alone = sample_latents(module.model(ema=True), ["a ring"], shape, [2])
    torch.testing.assert_close(alone[0], latents[1], rtol=1e-4, atol=1e-4)
    plain = SamplerConfig(num_steps=2, guidance_scale=1.0)
    assert not torch.allclose(
        sample_latents(module.model(ema=True), ["a ring"], shape, [2], plain)[0], alone[0]
    )
    raw = sample_latents(module.model(), ["a ring"], shape, [2])
    assert not torch.allclose(raw, alone)


def test_text_is_read_once_and_guidance_takes_one_pass(
    module: VideoModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys and values of each block are computed once, and a step is one pass of both halves."""
    read, passes = [], []
    keys_values, forward = CrossAttention.keys_values, MediaTransformer.forward

    def recorded_keys_values(self: CrossAttention, context_BLD: torch.Tensor) -> Any:
        read.append(len(context_BLD))
        return keys_values(self, context_BLD)

    def recorded_forward(self: MediaTransformer, x_BCTHW: torch.Tensor, *args: Any) -> Any:
        passes.append(len(x_BCTHW))
        return forward(self, x_BCTHW, *args)

    monkeypatch.setattr(CrossAttention, "keys_values", recorded_keys_values)
    monkeypatch.setattr(MediaTransformer, "forward", recorded_forward)
    sample_latents(
        module.model(ema=True), ["a star"], (4, 2, 4, 4), [1], SamplerConfig(num_steps=5, guidance_scale=3.0)
    )
    assert read == [2] * module.transformer_config.depth
    assert passes == [2] * 5


def test_negative_prompt_replaces_the_null_condition(module: VideoModule) -> None:
    shape, strong = (4, 2, 4, 4), SamplerConfig(num_steps=2, guidance_scale=3.0)
    plain = sample_latents(module.model(ema=True), ["a star"], shape, [1], strong)
    negative = sample_latents(
        module.model(ema=True), ["a star"], shape, [1], strong, negative_prompt="a ring"
    )
    assert not torch.allclose(negative, plain)
    same = sample_latents(module.model(ema=True), ["a star"], shape, [1], strong, negative_prompt="a star")
    unguided = sample_latents(
        module.model(ema=True), ["a star"], shape, [1], SamplerConfig(num_steps=2, guidance_scale=1.0)
    )
    torch.testing.assert_close(same, unguided, rtol=1e-4, atol=1e-4)


def test_v_prediction_samples_what_it_is_trained_on(
    module: VideoModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The v that always points at one latent has loss 0 on it, and samples become it."""
    monkeypatch.setattr(
        module, "flow_config", VideoFlowConfig(objective="v_prediction", sample_posterior=False)
    )

    def towards(x: torch.Tensor, t: torch.Tensor, *_: Any) -> torch.Tensor:
        phi = angle(t)[:, None, None, None, None].float()
        return (phi.cos() * x - 1.5) / phi.sin()

    batch = ToyLatents(0, 1)[0]
    batch.mean_BCTHW = torch.full_like(batch.mean_BCTHW, 1.5)
    assert module.training_loss(batch).min() > 0.1
    monkeypatch.setattr(module.transformer, "forward", towards)
    assert module.training_loss(batch).max() < 1e-6
    latents = sample_latents(
        module.model(), ["a"], (4, 2, 4, 4), [1], SamplerConfig(num_steps=5, guidance_scale=1.0)
    )
    torch.testing.assert_close(latents, torch.full_like(latents, 1.5), rtol=0, atol=1e-4)
