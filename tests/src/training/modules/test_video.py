"""The video module's own arithmetic."""

from typing import Any

import pytest
import torch

from src.flow.config import SamplerConfig
from src.flow.diffusion import angle
from src.models.transformer.block import CrossAttention
from src.models.transformer.model import MediaTransformer
from src.streaming.micro_batches import split
from src.training.modules.video import VideoModule
from src.training.modules.video_config import FlowConfig
from tests.fixtures.toy_modules import ToyLatents, train_config, video_module


@pytest.fixture
def module() -> VideoModule:
    """A built module with some weights that are not zero at the end."""
    module = video_module(train_config())
    module.configure_model()
    torch.manual_seed(0)
    with torch.no_grad():
        for net in (module.transformer, module.ema["transformer"]):
            for p in net.parameters():
                p.add_(0.05 * torch.randn(p.shape))
    return module


def test_loss_does_not_depend_on_how_the_batch_is_shared(module: VideoModule) -> None:
    whole = module.training_loss(ToyLatents(0, 1)[3])
    parts = torch.cat([module.training_loss(ToyLatents(rank, 2)[3]) for rank in (0, 1)])
    torch.testing.assert_close(whole, parts, rtol=1e-5, atol=1e-5)
    micro = torch.cat([module.training_loss(part) for part in split(ToyLatents(0, 1)[3], 4)])
    torch.testing.assert_close(whole, micro, rtol=1e-5, atol=1e-5)
    assert whole.unique().numel() == 4


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
    x = module.normalise(z)
    torch.testing.assert_close(x.mean((0, 2, 3, 4)), torch.zeros(4), atol=0.1, rtol=0)
    torch.testing.assert_close(x.std((0, 2, 3, 4)), torch.ones(4), atol=0.1, rtol=0)
    torch.testing.assert_close(module.denormalise(x), z)
    assert {"latent_mean_C", "latent_std_C"} <= module.state_dict().keys()
    for bad in (torch.zeros(4), torch.ones(3), torch.full((4,), float("nan"))):
        with pytest.raises(ValueError, match="latent statistics"):
            module.set_latent_statistics(mean, bad)


def test_captions_are_dropped_at_the_given_rate(module: VideoModule, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(module, "loss_at", lambda x, n, t, captions, known: seen.extend(captions))
    for step in range(300):
        batch = ToyLatents(0, 1)[0]
        batch.step = step
        module.training_loss(batch)
    assert seen.count("") / len(seen) == pytest.approx(0.1, abs=0.03)


def test_validation_times_are_equally_likely_quantiles(module: VideoModule) -> None:
    times = module.validation_times()
    assert times.tolist() == pytest.approx([0.3375, 0.6625], abs=1e-3)  # sigmoid of +-0.6745


def test_validation_is_of_the_sample_alone(module: VideoModule) -> None:
    """Same numbers for any batching; repeated filler samples do not count."""

    def measure(batches: list[Any]) -> dict[str, float]:
        module.on_validation_epoch_start()
        with torch.no_grad():
            for batch in batches:
                module.validation_step(batch, 0)
        module.on_validation_epoch_end()
        return module.val_metrics

    batches = [ToyLatents(0, 1)[step] for step in (0, 2)]
    whole = measure(batches)
    assert measure([part for b in batches for part in split(b, 4)]) == pytest.approx(whole, rel=1e-5)
    assert whole["val/loss"] == pytest.approx((whole["val/loss_images"] + whole["val/loss_videos"]) / 2)
    bands = [whole[name] for name in whole if name.startswith("val/loss_t")]
    assert whole["val/loss"] == pytest.approx(sum(bands) / 2)
    filled = ToyLatents(0, 1)[0]
    filled.real_B = torch.tensor([True, True, False, False])
    half = split(ToyLatents(0, 1)[0], 2)[0]
    assert measure([filled]) == pytest.approx(measure([half]), rel=1e-5)


def test_generation_is_a_function_of_prompt_and_seed(module: VideoModule) -> None:
    shape = (4, 2, 4, 4)
    films = module.generate(["a star", "a ring"], shape, [1, 2])
    torch.manual_seed(3)
    assert torch.equal(module.generate(["a star", "a ring"], shape, [1, 2]), films)
    assert not torch.equal(module.generate(["a star", "a ring"], shape, [1, 3]), films)
    alone = module.generate(["a ring"], shape, [2])
    torch.testing.assert_close(alone[0], films[1], rtol=1e-4, atol=1e-4)
    plain = SamplerConfig(steps=2, guidance=1.0)
    assert not torch.allclose(module.generate(["a ring"], shape, [2], plain)[0], alone[0])
    raw = module.generate(["a ring"], shape, [2], averaged=False)
    assert not torch.allclose(raw, alone)


def test_sampling_reads_the_text_once_and_guides_in_one_pass(
    module: VideoModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many steps: keys and values of each block once, and one pass of both halves a step."""
    read, passes = [], []
    keys_values, forward = CrossAttention.keys_values, MediaTransformer.forward

    def noted_keys_values(self: CrossAttention, context_BLD: torch.Tensor) -> Any:
        read.append(len(context_BLD))
        return keys_values(self, context_BLD)

    def noted_forward(self: MediaTransformer, x_BCTHW: torch.Tensor, *given: Any) -> Any:
        passes.append(len(x_BCTHW))
        return forward(self, x_BCTHW, *given)

    monkeypatch.setattr(CrossAttention, "keys_values", noted_keys_values)
    monkeypatch.setattr(MediaTransformer, "forward", noted_forward)
    module.generate(["a star"], (4, 2, 4, 4), [1], SamplerConfig(steps=5, guidance=3.0))
    assert read == [2] * module.transformer_config.layers
    assert passes == [2] * 5


@pytest.mark.parametrize(("clip", "expected"), [(0.5, 0.5), (1e9, None), (0.0, None)])
def test_gradients_are_clipped_and_the_norm_is_that_before(clip: float, expected: float | None) -> None:
    module = video_module(train_config(clip=clip, warmup_steps=4, lr=1.0))
    module.configure_model()
    optimizer = module.make_optimizer("text", "transformer")
    (1000 * module.training_loss(ToyLatents(0, 1)[0]).mean()).backward()
    seen: list[float] = []
    optimizer.register_step_pre_hook(
        lambda *_: seen.append(
            float(torch.nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None]))
        )
    )
    norm = module.apply_gradients(optimizer, torch.zeros(()), ["a"])
    assert norm > 100
    assert seen == [pytest.approx(expected or norm, rel=1e-4)]
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    assert all(p.grad is None for p in module.parameters())


def test_negative_prompt_takes_the_place_of_the_null_condition(module: VideoModule) -> None:
    shape, strong = (4, 2, 4, 4), SamplerConfig(steps=2, guidance=3.0)
    plain = module.generate(["a star"], shape, [1], strong)
    negative = module.generate(["a star"], shape, [1], strong, negative="a ring")
    assert not torch.allclose(negative, plain)
    same = module.generate(["a star"], shape, [1], strong, negative="a star")
    unguided = module.generate(["a star"], shape, [1], SamplerConfig(steps=2, guidance=1.0))
    torch.testing.assert_close(same, unguided, rtol=1e-4, atol=1e-4)


def test_v_prediction_samples_what_it_is_trained_on(
    module: VideoModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The v that always points at one film has loss 0 on that film, and samples become it."""
    monkeypatch.setattr(module, "flow_config", FlowConfig(objective="v_prediction", sample_posterior=False))

    def towards(x: torch.Tensor, t: torch.Tensor, *_: Any) -> torch.Tensor:
        phi = angle(t)[:, None, None, None, None].float()
        return (phi.cos() * x - 1.5) / phi.sin()

    batch = ToyLatents(0, 1)[0]
    batch.mean_BCTHW = torch.full_like(batch.mean_BCTHW, 1.5)
    assert module.training_loss(batch).min() > 0.1
    monkeypatch.setattr(module.transformer, "forward", towards)
    assert module.training_loss(batch).max() < 1e-6
    films = module.generate(["a"], (4, 2, 4, 4), [1], SamplerConfig(steps=5, guidance=1.0), averaged=False)
    torch.testing.assert_close(films, torch.full_like(films, 1.5), rtol=0, atol=1e-4)


def test_objective_and_times_are_switches(module: VideoModule) -> None:
    batch = ToyLatents(0, 1)[3]
    losses = []
    for change in ({}, {"objective": "v_prediction"}, {"times": "uniform"}):
        module.flow_config = FlowConfig(**change)
        losses.append(module.training_loss(batch))
    assert not torch.allclose(losses[0], losses[1])
    assert not torch.allclose(losses[0], losses[2])
    module.flow_config = FlowConfig(times="uniform", val_times=4)
    torch.testing.assert_close(module.validation_times(), torch.tensor([0.125, 0.375, 0.625, 0.875]))
    with pytest.raises(ValueError, match=r"sampler\.solver must be euler with v_prediction, got midpoint"):
        FlowConfig(objective="v_prediction", sampler=SamplerConfig(solver="midpoint"))
