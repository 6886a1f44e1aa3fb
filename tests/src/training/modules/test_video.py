"""Losses, gradients and validation of the video module."""

from typing import Any

import pytest
import torch

from src.flow.config import SamplerConfig
from src.streaming.micro_batches import split_batch
from src.training.modules.video import VideoModule
from src.training.modules.video_config import VideoFlowConfig
from tests.fixtures.toy_modules import ToyLatents, perturbed_video_module, train_config, video_module


@pytest.fixture
def module() -> VideoModule:
    return perturbed_video_module()


def test_loss_does_not_depend_on_the_split_of_the_batch(module: VideoModule) -> None:
    full = module.training_loss(ToyLatents(0, 1)[3])
    parts = torch.cat([module.training_loss(ToyLatents(rank, 2)[3]) for rank in (0, 1)])
    torch.testing.assert_close(full, parts, rtol=1e-5, atol=1e-5)
    micro = torch.cat([module.training_loss(part) for part in split_batch(ToyLatents(0, 1)[3], 4)])
    torch.testing.assert_close(full, micro, rtol=1e-5, atol=1e-5)
    assert full.unique().numel() == 4


def test_noise_changes_with_the_step_and_not_with_ambient_randomness(module: VideoModule) -> None:
    batch = ToyLatents(0, 1)[3]
    torch.manual_seed(1)
    first = module.training_loss(batch)
    torch.manual_seed(2)
    assert torch.equal(module.training_loss(batch), first)
    batch.step = 4
    assert not torch.equal(module.training_loss(batch), first)


def test_latent_statistics(module: VideoModule) -> None:
    mean, std = torch.arange(4.0), torch.tensor([1.0, 2.0, 3.0, 4.0])
    module.set_latent_statistics(mean, std)
    z = torch.randn(500, 4, 2, 2, 2) * std[:, None, None, None] + mean[:, None, None, None]
    x = module.model().normalize(z)
    torch.testing.assert_close(x.mean((0, 2, 3, 4)), torch.zeros(4), atol=0.1, rtol=0)
    torch.testing.assert_close(x.std((0, 2, 3, 4)), torch.ones(4), atol=0.1, rtol=0)
    torch.testing.assert_close(module.model().denormalize(x), z)
    assert {"latent_mean_C", "latent_std_C"} <= module.state_dict().keys()
    for bad in (torch.zeros(4), torch.ones(3), torch.full((4,), float("nan"))):
        with pytest.raises(ValueError, match="latent statistics"):
            module.set_latent_statistics(mean, bad)


def test_captions_are_dropped_with_the_configured_probability(
    module: VideoModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    tokenize = module.text.tokenize
    monkeypatch.setattr(module.text, "tokenize", lambda texts: seen.extend(texts) or tokenize(texts))
    batch = ToyLatents(0, 1)[0]
    with torch.no_grad():
        for batch.step in range(300):
            module.training_loss(batch)
    assert seen.count("") / len(seen) == pytest.approx(0.1, abs=0.03)


def test_validation_times_are_equally_likely_quantiles(module: VideoModule) -> None:
    times = module.model().validation_times()
    assert times.tolist() == pytest.approx([0.3375, 0.6625], abs=1e-3)  # sigmoid of +-0.6745


def test_validation_depends_on_the_samples_alone(module: VideoModule) -> None:
    """Any batching gives the same numbers; repeats that fill a batch do not count."""

    def measure(batches: list[Any]) -> dict[str, float]:
        module.on_validation_epoch_start()
        with torch.no_grad():
            for batch in batches:
                module.validation_step(batch, 0)
        module.on_validation_epoch_end()
        return module.val_metrics

    batches = [ToyLatents(0, 1)[step] for step in (0, 2)]
    full = measure(batches)
    assert measure([part for b in batches for part in split_batch(b, 4)]) == pytest.approx(full, rel=1e-5)
    assert full["val/loss"] == pytest.approx((full["val/loss_images"] + full["val/loss_videos"]) / 2)
    bands = [full[name] for name in full if name.startswith("val/loss_t")]
    assert full["val/loss"] == pytest.approx(sum(bands) / 2)
    padded = ToyLatents(0, 1)[0]
    padded.real_B = torch.tensor([True, True, False, False])
    half = split_batch(ToyLatents(0, 1)[0], 2)[0]
    assert measure([padded]) == pytest.approx(measure([half]), rel=1e-5)


@pytest.mark.parametrize(("clip", "expected"), [(0.5, 0.5), (1e9, None), (0.0, None)])
def test_gradients_are_clipped(clip: float, expected: float | None) -> None:
    module = video_module(train_config(max_grad_norm=clip, warmup_steps=4, lr=1.0))
    module.configure_model()
    optimizer = module.make_optimizer("text", "transformer")
    (1000 * module.training_loss(ToyLatents(0, 1)[0]).mean()).backward()
    seen: list[float] = []
    optimizer.register_step_pre_hook(
        lambda *_: seen.append(
            float(torch.nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None]))
        )
    )
    norm = float(module.apply_gradients(optimizer, torch.zeros(()), ["a"]).grad_norm)
    assert norm > 100
    assert seen == [pytest.approx(expected or norm, rel=1e-4)]
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    assert all(p.grad is None for p in module.parameters())


def test_objective_and_times_are_switches(module: VideoModule) -> None:
    batch = ToyLatents(0, 1)[3]
    losses = []
    for change in ({}, {"objective": "v_prediction"}, {"time_distribution": "uniform"}):
        module.flow_config = VideoFlowConfig(**change)
        losses.append(module.training_loss(batch))
    assert not torch.allclose(losses[0], losses[1])
    assert not torch.allclose(losses[0], losses[2])
    module.flow_config = VideoFlowConfig(time_distribution="uniform", num_val_times=4)
    torch.testing.assert_close(module.model().validation_times(), torch.tensor([0.125, 0.375, 0.625, 0.875]))
    with pytest.raises(ValueError, match=r"sampler\.solver must be euler with v_prediction, got midpoint"):
        VideoFlowConfig(objective="v_prediction", sampler=SamplerConfig(solver="midpoint"))
