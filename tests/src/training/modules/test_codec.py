"""Training of the codec: terms, micro-batches, discriminators, statistics of the latent."""

import pytest
import torch

from src.models.codec.config import AudioDiscriminatorConfig
from src.streaming.batch import AudioBatch
from src.training.config import TrainConfig
from src.training.modules.codec import CodecModule
from src.training.modules.codec_config import CodecLossConfig
from tests.src.models.codec.test_model import small

DISCRIMINATOR = AudioDiscriminatorConfig(periods=(2,), windows=(64,), period_channels=2, stft_channels=2)
FEW = {"mel_windows": (64, 32), "mel_bands": (6, 4)}


def batch(step: int = 0, size: int = 4) -> AudioBatch:
    generator = torch.Generator().manual_seed(step)
    audio = torch.randint(-9000, 9000, (size, 1, 960), generator=generator).to(torch.int16)
    return AudioBatch(
        ids=[f"{step}-{i}" for i in range(size)],
        global_indices=list(range(size)),
        stream="audio",
        bucket="960x1x1",
        step=step,
        captions=[""] * size,
        real_B=torch.ones(size, dtype=torch.bool),
        audio_BCS=audio,
        sample_rate=48_000,
    )


def module_of(num_micro_batches: int = 1, **losses: object) -> CodecModule:
    train = TrainConfig(num_micro_batches=num_micro_batches, warmup_steps=0, lr=1e-3)
    module = CodecModule(small("dac"), CodecLossConfig(**FEW | losses), train, DISCRIMINATOR)  # type: ignore[arg-type]
    module.configure_model()
    optimizers = module.configure_optimizers()
    first = optimizers[0]
    second = type("Wrapped", (), {"optimizer": optimizers[1]})() if len(optimizers) > 1 else None
    module.optimizers = lambda: [first, second] if second else first  # type: ignore[assignment, method-assign]
    return module


@pytest.fixture(scope="module")
def trained() -> CodecModule:
    module = module_of()
    for step in range(2):
        module.training_step(batch(step), step)
    return module


def test_defaults_are_the_weights_of_dac() -> None:
    c = CodecLossConfig()
    assert (c.mel_weight, c.feature_weight, c.gan_weight) == (15.0, 2.0, 1.0)
    assert (c.stft_weight, c.complex_weight, c.waveform_weight) == (0.0, 0.0, 0.0)


def test_the_loss_is_the_weighted_sum_of_its_terms(trained: CodecModule) -> None:
    terms = {name: float(value) for name, value in trained.device_metrics.items()}
    assert terms.keys() == {"kl", "mel", "generator", "features"}
    total = 1e-3 * terms["kl"] + 15 * terms["mel"] + terms["generator"] + 2 * terms["features"]
    assert float(trained.metrics["loss"]) == pytest.approx(total, rel=1e-5)
    assert trained.metrics["discriminator"] > 0
    assert trained.step == 2


def test_both_networks_move_and_the_ema_has_no_discriminator(trained: CodecModule) -> None:
    fresh = module_of().state_dict()
    moved = {k.split(".")[0] for k, v in trained.state_dict().items() if not torch.equal(v, fresh[k])}
    assert {"codec", "discriminator"} <= moved
    assert all(k.startswith("ema.codec.") for k in fresh if k.startswith("ema."))


def test_micro_batches_give_the_same_step() -> None:
    found = []
    for parts in (1, 2):
        module = module_of(parts)
        module.training_step(batch(), 0)
        found.append([float(module.metrics[name]) for name in ("loss", "grad_norm", "discriminator")])
        statistics = torch.stack([module.latent_mean_C, module.latent_std_C])
        found.append(tuple(statistics.flatten().tolist()))
    assert found[0] == pytest.approx(found[2], rel=1e-3)
    assert found[1] == pytest.approx(found[3], rel=1e-3, abs=1e-5)


def test_statistics_of_the_first_step_are_those_of_its_latent() -> None:
    module, one = module_of(gan_weight=0.0), batch()
    with torch.no_grad():
        latent = module._reconstruct(one, one.audio()).latent_BCL
    module.training_step(one, 0)
    torch.testing.assert_close(module.latent_mean_C, latent.mean((0, 2)), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(module.latent_std_C, latent.std((0, 2), correction=0), atol=1e-5, rtol=1e-4)


def test_windows_drawn_for_a_step_stand_for_all() -> None:
    module = module_of(gan_weight=0.0, num_windows=1)
    drawn = set()
    for _ in range(20):
        ((window,), (bands,)), scale = module._draw_windows("mel", ((64, 32), (6, 4)))
        assert (window, bands, scale) in ((64, 6, 2.0), (32, 4, 2.0))
        drawn.add(window)
        module.advance_step()
    assert drawn == {64, 32}


def test_every_distance_has_its_weight() -> None:
    weights = {"root_mel": 2.0, "stft": 3.0, "complex": 5.0, "waveform": 7.0, "ratio": 11.0}
    few = {"stft_windows": (64,), "root_mel_windows": (64,), "root_mel_bands": (6,)}
    module = module_of(
        gan_weight=0.0, mel_weight=0.0, **few, **{f"{k}_weight": v for k, v in weights.items()}
    )
    module.training_step(batch(), 0)
    terms = {name: float(value) for name, value in module.device_metrics.items()}
    assert terms.keys() == {"kl", *weights}
    total = 1e-3 * terms["kl"] + sum(weight * terms[name] for name, weight in weights.items())
    assert float(module.metrics["loss"]) == pytest.approx(total, rel=1e-5)


def test_the_square_of_the_mel_distance_joins_it() -> None:
    losses = []
    for square in (0.0, 2.0):
        module = module_of(gan_weight=0.0, mel_square=square)
        module.training_step(batch(), 0)
        losses.append(float(module.device_metrics["mel"]))
    assert losses[1] > 1.2 * losses[0]


def test_discriminators_wait_for_their_start() -> None:
    module = module_of(gan_start=1)
    before = {k: v.clone() for k, v in module.discriminator.state_dict().items()}
    module.training_step(batch(), 0)
    assert "generator" not in module.device_metrics
    assert all(torch.equal(v, before[k]) for k, v in module.discriminator.state_dict().items())
    module.training_step(batch(1), 1)
    assert "generator" in module.device_metrics
