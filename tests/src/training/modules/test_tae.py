"""Training of the autoencoder: gradients, the discriminator, and two ranks."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio

from src.flow.noise import randn_samples
from src.losses.adversarial import adaptive_weight, generator_hinge, squared_gradient_norms
from src.losses.latent import outlier_penalty
from src.losses.reconstruction import gradient_loss, l1_loss, mse_loss
from src.losses.video_metrics import score_videos
from src.models.tae.model import Reconstruction
from src.models.tae.posterior import Posterior
from src.training.checkpoint_paths import last_checkpoint
from src.training.init_weights import InitFrom, load_weights
from src.training.metrics_file import METRICS_FILE, read_metrics
from src.training.modules import tae
from src.training.skipped_steps import GradientStep
from src.training.trainer import fit
from tests.fixtures.ranks import Ranks
from tests.fixtures.toy_modules import (
    ToyClipData,
    ToyClips,
    state_of,
    tae_module,
    train_config,
    two_processes,
)

SETTINGS = {"lr": 1e-3, "max_steps": 5, "val_every": 5, "checkpoint_every": 4}


def train(run_dir: Path, **changes: Any) -> int:
    config = train_config(**{**SETTINGS, **changes})
    return fit(tae_module(config), ToyClipData(config.max_steps), config, run_dir).resumed_at


def train_two(run_dir: Path) -> int:
    return train(run_dir, parallel=two_processes(), num_micro_batches=2)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("one")
    train(path)
    return path


def state(run: Path) -> dict[str, torch.Tensor]:
    path = last_checkpoint(run)
    assert path is not None
    return state_of(path)


def test_gradient_equals_that_of_the_plain_loss() -> None:
    """The module takes the gradient at the output first; here it is taken in one backward pass."""
    config = train_config()
    for extra in (
        {"adaptive_gan_weight": True},
        {"adaptive_gan_weight": False, "gradient_weight": 0.5, "reconstruction": "mse"},
    ):
        module = tae_module(config, gan_start=0, **extra)
        module.configure_model()
        batch = ToyClips(0, 1)[0]
        module._backward(batch, 1.0, adversarial=True)
        ours = [p.grad.clone() for p in module.tae.parameters()]
        module.zero_grad()

        c, video = module.losses, batch.pixels()
        noise = randn_samples((4, 2, 2, 2), 0, "train/posterior", 0, batch.global_indices)
        out = module.tae(video, noise)
        reconstruction = out.video_BCTHW
        pixel = (
            l1_loss(reconstruction, video) if c.reconstruction == "l1" else mse_loss(reconstruction, video)
        )
        pixel = pixel + c.gradient_weight * gradient_loss(reconstruction, video)
        push = generator_hinge(module.discriminator(reconstruction))
        weight = c.gan_weight
        if c.adaptive_gan_weight:
            weight *= adaptive_weight(*squared_gradient_norms([pixel, push], reconstruction))
        kl = out.posterior.kl().mean() / video[0].numel()
        penalty = outlier_penalty(out.latent_BCTHW) / video[0, :, 0].numel()
        (pixel + weight * push + c.kl_weight * kl + c.opl_weight * penalty).backward()
        for a, p in zip(ours, module.tae.parameters(), strict=True):
            torch.testing.assert_close(a, p.grad, rtol=1e-4, atol=1e-7)


def test_outlier_penalty_has_one_weight_at_any_length() -> None:
    """A video of equal frames has the loss of one of them, and its gradient as a mean over frames."""
    module = tae_module(train_config(), kl_weight=0.0, opl_weight=1e5, opl_r=1.0)
    frame = torch.randn(2, 4, 1, 4, 4)
    losses, gradients = [], []
    for num_frames, num_latents in ((1, 1), (32, 4)):
        latent = frame.repeat(1, 1, num_latents, 1, 1).requires_grad_()
        video = torch.zeros(2, 3, num_frames, 32, 32)
        loss, _ = module._latent_terms(Reconstruction(video, latent, Posterior(latent, latent * 0)))
        loss.backward()
        losses.append(loss.detach())
        gradients.append(latent.grad)
    torch.testing.assert_close(losses[0], 1e5 * outlier_penalty(frame, 1.0) / (3 * 32 * 32))
    torch.testing.assert_close(losses[1], losses[0])
    torch.testing.assert_close(gradients[1], gradients[0].repeat(1, 1, 4, 1, 1) / 4)


def test_discriminator_starts_late_and_steps_are_batches(one: Path) -> None:
    lines = [line for line in read_metrics(one / METRICS_FILE) if "train/loss" in line]
    assert ["train/discriminator" in line for line in lines] == [False] * 3 + [True] * 2
    assert all(line["train/gan_weight"] > 0 for line in lines[3:])
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    assert {"train/loss_image", "train/loss_video"} <= {name for line in lines for name in line}


def test_validation_reports_videos_and_images(one: Path) -> None:
    line = [line for line in read_metrics(one / METRICS_FILE) if "val/psnr" in line][-1]
    for name in ("psnr", "ssim"):
        assert {f"val/{name}", f"val/{name}_videos", f"val/{name}_images"} <= line.keys()
    assert line["val/psnr"] == pytest.approx((2 * line["val/psnr_videos"] + line["val/psnr_images"]) / 3)


def test_scores_are_those_of_torchmetrics() -> None:
    a, b = torch.rand(2, 3, 5, 16, 16) * 2 - 1, torch.rand(2, 3, 5, 16, 16) * 2 - 1
    scores = score_videos(a, b)
    frames = [
        peak_signal_noise_ratio((a[0, :, t] + 1) / 2, (b[0, :, t] + 1) / 2, data_range=1.0) for t in range(5)
    ]
    assert scores["psnr"][0] == pytest.approx(float(torch.stack(frames).mean()), rel=1e-5)
    assert score_videos(a, a)["ssim"].tolist() == pytest.approx([1.0, 1.0])


def test_it_learns(tmp_path: Path) -> None:
    config = train_config(max_steps=30, lr=1e-2, val_every=0, checkpoint_every=100, log_every=5)
    fit(tae_module(config, gan_weight=0.0, opl_weight=0.0), ToyClipData(30), config, tmp_path)
    lines = read_metrics(tmp_path / METRICS_FILE)
    assert lines[-1]["train/reconstruction"] < 0.6 * lines[0]["train/reconstruction"]


@pytest.mark.parametrize("stop", [2, 4])
def test_resumes_bit_for_bit_before_and_after_the_discriminator_starts(
    one: Path, tmp_path: Path, stop: int
) -> None:
    config = train_config(**{**SETTINGS, "checkpoint_every": 1})
    module = tae_module(config)
    module.on_train_batch_end = lambda *_: _stop(module, stop)  # type: ignore[method-assign]
    with pytest.raises(InterruptedError):
        fit(module, ToyClipData(5), config, tmp_path)
    assert train(tmp_path) == stop
    ours, theirs = state(tmp_path), state(one)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def _stop(module: Any, step: int) -> None:
    if module.step == step:
        raise InterruptedError


def test_two_ranks_equal_one_process(one: Path, tmp_path: Path, ranks: Ranks) -> None:
    """Each in two micro-batches. Losses and norms are compared closely, weights by the norm of their
    difference: group norm makes the gradient of biases before it zero but for rounding, and Adam turns any
    sign into a full step."""
    ranks.run(train_two, tmp_path)
    ours, theirs = (read_metrics(p / METRICS_FILE) for p in (one, tmp_path))
    for a, b in zip(ours, theirs, strict=True):
        for name in set(a) & {
            "train/loss",
            "train/reconstruction",
            "train/grad_norm",
            "train/discriminator",
            "val/psnr",
        }:
            assert a[name] == pytest.approx(b[name], rel=2e-3), (name, a["step"])
        if "train/gan_weight" in a:
            assert a["train/gan_weight"] == pytest.approx(b["train/gan_weight"], rel=2e-2)
    untrained = tae_module(train_config())
    untrained.configure_model()
    start, a, b = untrained.state_dict(), state(one), state(tmp_path)
    assert a.keys() == b.keys() == start.keys()
    for part in ("tae.encoder", "tae.decoder", "ema.tae.decoder", "discriminator"):
        names = [name for name in a if name.startswith(part)]
        moved, apart = (
            torch.cat([(a[name] - other[name]).flatten() for name in names]).norm() for other in (start, b)
        )
        assert apart < 0.15 * moved, (part, float(apart / moved))


@pytest.mark.parametrize("adaptive", [True, False])
def test_micro_batches_have_the_same_gradient(monkeypatch: pytest.MonkeyPatch, adaptive: bool) -> None:
    """Of the discriminator too; the adversarial term has one adaptive weight in a step."""
    gradients, metrics = [], []
    for parts in (1, 2):
        module = tae_module(
            train_config(num_micro_batches=parts), gan_start=0, gan_weight=2.0, adaptive_gan_weight=adaptive
        )
        module.configure_model()
        monkeypatch.setattr(module, "optimizers", lambda: [SimpleNamespace(optimizer=None)] * 2)
        monkeypatch.setattr(module, "apply_gradients", lambda _, loss, ids: GradientStep(loss, loss, loss))
        batch = ToyClips(0, 1)[0]
        batch.video_BCTHW[2:] //= 2  # parts whose own adaptive weights differ
        module.training_step(batch, 0)
        gradients.append({name: p.grad for name, p in module.named_parameters() if p.requires_grad})
        metrics.append(module.latest_metrics())
    assert any(name.startswith("discriminator.") for name in gradients[0])
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-7, msg=name)
    assert metrics[1] == pytest.approx(metrics[0], rel=1e-4)


def test_checkpoint_has_latent_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = train_config(max_steps=4, val_every=0, num_micro_batches=2)
    module = tae_module(config, gan_weight=0.0)
    seen: list[torch.Tensor] = []
    penalty = outlier_penalty
    monkeypatch.setattr(tae, "outlier_penalty", lambda z, r: seen.append(z.detach()) or penalty(z, r))
    fit(module, ToyClipData(4), config, tmp_path)
    found = state(tmp_path)
    batches = [torch.cat(seen[i : i + 2]).transpose(0, 1).flatten(1) for i in range(0, 8, 2)]
    mean = torch.stack([z.mean(1) for z in batches]).mean(0)
    square = torch.stack([z.square().mean(1) for z in batches]).mean(0)
    torch.testing.assert_close(found["latent_mean_C"], mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["latent_std_C"], (square - mean**2).sqrt(), rtol=1e-4, atol=1e-5)

    again = tae_module(config, gan_weight=0.0)
    load_weights(again, InitFrom(tmp_path))
    assert again.latent_std_C.tolist() == [1.0] * 4  # each stage has statistics of its own


def test_perceptual_term_needs_features() -> None:
    with pytest.raises(ValueError, match=r"perceptual_weight=1.0 needs a feature network"):
        tae_module(train_config(), perceptual_weight=1.0)
