"""v-prediction diffusion against its closed forms."""

import math

import pytest
import torch

from src.flow.config import SamplerConfig
from src.flow.diffusion import BETAS, NUM_BETAS, angle, sample_diffusion_path
from src.flow.loss import velocity_loss
from src.flow.noise import torch_generator
from src.flow.sampling import sample


def randn(*shape):
    return torch.randn(*shape, generator=torch_generator(0, "test.diffusion", *shape), dtype=torch.float64)


def test_terminal_snr_is_zero_and_the_cleanest_step_unchanged():
    assert angle(torch.zeros(1)).item() == pytest.approx(math.pi / 2, abs=1e-12)
    assert angle(torch.ones(1)).cos().item() == pytest.approx((1 - BETAS[0]) ** 0.5, abs=1e-12)
    assert (angle(torch.linspace(0, 1, 4001)).diff() < 0).all()


def test_schedule_matches_the_rescaling_algorithm():
    """Algorithm 1 of Lin et al. with a plain loop."""
    roots = [BETAS[0] ** 0.5 + k * (BETAS[1] ** 0.5 - BETAS[0] ** 0.5) / (NUM_BETAS - 1) for k in range(1000)]
    product, signals = 1.0, []
    for root in roots:
        product *= 1 - root * root
        signals.append(math.sqrt(product))
    k = 600
    expected = (signals[k] - signals[-1]) * signals[0] / (signals[0] - signals[-1])
    value = angle(torch.tensor([1 - k / (NUM_BETAS - 1)], dtype=torch.float64)).cos().item()
    assert value == pytest.approx(expected, rel=1e-9)


def test_path_is_a_circle_and_v_its_derivative():
    data, noise = randn(3, 5), randn(3, 5).flip(0)
    t = torch.tensor([0.0, 0.4, 0.9], dtype=torch.float64)
    point = sample_diffusion_path(data, noise, t)
    assert torch.allclose(point.x_t[0], noise[0], atol=1e-12)
    phi = angle(t)[:, None]
    torch.testing.assert_close(point.x_t, phi.cos() * data + phi.sin() * noise)
    torch.testing.assert_close(phi.cos() * point.x_t - phi.sin() * point.velocity, data)
    torch.testing.assert_close(phi.sin() * point.x_t + phi.cos() * point.velocity, noise)


def test_loss_compares_v():
    data, noise, t = randn(2, 4), randn(2, 4).flip(0), torch.tensor([0.0, 0.7], dtype=torch.float64)
    exact = velocity_loss(
        lambda x, t: sample_diffusion_path(data, noise, t).velocity, data, noise, t, "v_prediction"
    )
    assert torch.equal(exact, torch.zeros(2))
    at_noise = velocity_loss(lambda x, t: torch.zeros_like(x), data, noise, t, "v_prediction")
    assert at_noise[0].item() == pytest.approx(data[0].square().mean().item(), rel=1e-5)  # v = -data there


def test_ddim_maps_noise_to_a_known_gaussian():
    """With the exact v of N(mean, std^2); a constant prediction is reached in any number of steps."""
    mean, std = 2.0, 0.5

    def velocity(x, t):
        phi = angle(t)[:, None].to(x.dtype)
        variance = (phi.cos() * std) ** 2 + phi.sin() ** 2
        off = x - mean * phi.cos()
        data = mean + phi.cos() * std**2 * off / variance
        noise = phi.sin() * off / variance
        return phi.cos() * noise - phi.sin() * data

    noise = randn(4000, 1)
    config = SamplerConfig(guidance_scale=1.0, num_steps=200, schedule="linear")
    out = sample(velocity, noise, config, objective="v_prediction")
    torch.testing.assert_close(out, mean + std * noise, rtol=0, atol=0.05)

    def towards_three(x, t):  # v whose data prediction is always 3
        phi = angle(t)[:, None].to(x.dtype)
        return (phi.cos() * x - 3.0) / phi.sin()

    for steps in (1, 7):
        config = SamplerConfig(guidance_scale=1.0, num_steps=steps, schedule="linear")
        torch.testing.assert_close(
            sample(towards_three, noise, config, objective="v_prediction"), torch.full_like(noise, 3.0)
        )


def test_other_solvers_are_refused():
    with pytest.raises(ValueError, match="solver=midpoint does not support v_prediction"):
        sample(lambda x, t: x, torch.zeros(1, 1), SamplerConfig(solver="midpoint"), objective="v_prediction")
