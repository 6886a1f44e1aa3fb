"""Solvers, guidance and sampling against closed forms."""

import math
import re

import pytest
import torch
from scipy import stats

from src.flow.config import SamplerConfig
from src.flow.dopri5 import dopri5
from src.flow.guidance import classifier_free_guidance, nested_guidance
from src.flow.noise import randn_samples, torch_generator
from src.flow.sampling import sample
from src.flow.schedules import linear, linear_quadratic, solver_times
from src.flow.solvers import SOLVERS, euler, midpoint


def test_euler_is_exact_on_straight_paths():
    x = torch.randn(4, 3, dtype=torch.float64, generator=torch_generator(0, "test.solvers"))
    direction = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    for times in (linear(1), linear(50), linear_quadratic(50, 250)):
        out = euler(lambda x, t: direction.expand_as(x), x, times)
        torch.testing.assert_close(out, x + direction, rtol=0, atol=1e-13)


def _error(solver, num_steps):
    """dx/dt = x cos t from 1, whose end is exp(sin 1)."""
    x = torch.ones(2, 1, dtype=torch.float64)
    end = solver(lambda x, t: x * torch.cos(t)[:, None], x, linear(num_steps))
    return (end - math.exp(math.sin(1))).abs().max().item()


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("midpoint", 2)])
def test_order_of_convergence(name, order):
    ratio = _error(SOLVERS[name], 40) / _error(SOLVERS[name], 80)
    assert ratio == pytest.approx(2**order, rel=0.05)


def test_dopri5_error_and_cost_follow_the_tolerance():
    calls, errors, counts = [], [], []

    def velocity(x, t):
        calls.append(float(t[0]))
        return x * 20 * torch.cos(20 * t)[:, None]

    x = torch.ones(2, 1, dtype=torch.float64)
    for tolerance in (1e-3, 1e-6, 1e-9):
        calls.clear()
        end = dopri5(velocity, x, linear(50), tolerance)
        errors.append((end - math.exp(math.sin(20))).abs().max().item())
        counts.append(len(calls))
        assert max(calls) == pytest.approx(1)
    assert all(e < 30 * tol for e, tol in zip(errors, (1e-3, 1e-6, 1e-9), strict=True))
    assert errors[0] > 100 * errors[2]
    assert counts[0] < counts[1] < counts[2] / 2
    with pytest.raises(ValueError, match="tolerance=1e-09"):
        dopri5(lambda x, t: (1e9 * t[:, None]).sin() * 1e9, x, linear(50), 1e-9)


def test_dopri5_is_of_fifth_order():
    """One step with a tolerance that accepts anything: the error falls by 2^6 when the step is halved."""
    errors = []
    for step in (0.2, 0.1):
        ends = torch.tensor([0, step], dtype=torch.float64)
        end = dopri5(lambda x, t: x, torch.ones(1, 1, dtype=torch.float64), ends, 1e3)
        errors.append(abs(end.item() - math.exp(step)))
    assert errors[0] / errors[1] == pytest.approx(64, rel=0.15)


def test_sampler_with_dopri5():
    seen = []
    config = SamplerConfig(guidance_scale=1.0, solver="adaptive", tolerance=1e-5)
    x = torch.ones(2, 3)
    out = sample(lambda x, t: x, x, config, on_step=lambda i, x: seen.append(i))
    torch.testing.assert_close(out, math.e * x, rtol=1e-4, atol=0)
    assert seen == list(range(len(seen)))
    assert len(seen) > 1


def test_guidance_scale_over_time():
    line = SamplerConfig(guidance_scale=8.0, guidance_schedule="linear", guidance_scale_end=2.0)
    assert [line.guidance_scale_at(t) for t in (0.0, 0.5, 1.0)] == [8.0, 5.0, 2.0]
    cosine = SamplerConfig(guidance_scale=8.0, guidance_schedule="cosine", guidance_scale_end=2.0)
    assert [cosine.guidance_scale_at(t) for t in (0.0, 0.5, 1.0)] == pytest.approx([8.0, 5.0, 2.0])
    assert cosine.guidance_scale_at(0.25) > line.guidance_scale_at(0.25)
    assert SamplerConfig(guidance_scale=3.0, guidance_scale_end=9.0).guidance_scale_at(1.0) == 3.0
    states = []

    def velocity(x, t):
        half = len(x) // 2
        return torch.cat([torch.ones_like(x[:half]), torch.zeros_like(x[half:])])

    def record(i, x):
        states.append(x[0, 0].item())

    config = SamplerConfig(
        num_steps=2, schedule="linear", guidance_scale=1.0, guidance_schedule="linear", guidance_scale_end=3.0
    )
    sample(velocity, torch.zeros(1, 1), config, on_step=record)
    assert states == pytest.approx([0.5, 0.5 + 0.5 * 2])  # scale 1 at t = 0, 2 at t = 0.5
    assert not SamplerConfig(guidance_scale=1.0).uses_guidance


def test_midpoint_is_exact_on_linear_fields_in_time():
    x = torch.zeros(1, 1, dtype=torch.float64)
    out = midpoint(lambda x, t: 2 * t[:, None].expand_as(x), x, linear(3))
    torch.testing.assert_close(out, torch.ones_like(x), rtol=0, atol=1e-13)


def test_guidance_extrapolates_and_doubles_the_batch():
    calls = []

    def velocity(x, t):
        calls.append((x.shape[0], t.shape[0]))
        half = len(x) // 2
        assert torch.equal(x[:half], x[half:])
        return torch.cat([torch.full_like(x[:half], 3.0), torch.full_like(x[half:], 1.0)])

    x = torch.zeros(5, 2)
    out = classifier_free_guidance(velocity, 7.5)(x, torch.zeros(5))
    torch.testing.assert_close(out, torch.full_like(x, 1 + 7.5 * 2))
    assert calls == [(10, 10)]


def test_nested_guidance_scales_each_condition_by_itself():
    def velocity(x, t):
        assert x.shape[0] == t.shape[0] == 3 * 5
        return torch.cat([torch.full_like(x[:5], value) for value in (6.0, 3.0, 1.0)])

    out = nested_guidance(velocity, [4.0, 2.0])(torch.zeros(5, 2), torch.zeros(5))
    torch.testing.assert_close(out, torch.full_like(out, 1 + 2 * 2 + 4 * 3))


def test_guidance_scale_of_one_evaluates_the_condition_only():
    sizes = []

    def velocity(x, t):
        sizes.append(len(x))
        return torch.ones_like(x)

    out = sample(velocity, torch.zeros(3, 2), SamplerConfig(num_steps=4, guidance_scale=1.0))
    torch.testing.assert_close(out, torch.ones(3, 2))
    assert sizes == [3] * 4


def test_sampling_maps_noise_to_a_known_gaussian():
    """With the exact velocity of N(mean, std^2)."""
    mean, std = 2.0, 0.5

    def velocity(x, t):
        t = t[:, None]
        scale = torch.sqrt((t * std) ** 2 + (1 - t) ** 2)
        return mean + (t * std**2 - (1 - t)) / scale**2 * (x - t * mean)

    noise = torch.randn(4000, 1, generator=torch_generator(0, "test.gauss"))
    config = SamplerConfig(guidance_scale=1.0, num_steps=100, num_emulated_steps=250)
    out = sample(velocity, noise, config)
    torch.testing.assert_close(out, mean + std * noise, rtol=0, atol=0.1)
    assert out.mean().item() == pytest.approx(mean, abs=0.05)
    assert out.std().item() == pytest.approx(std, abs=0.05)


def test_on_step_is_called_and_dtype_is_kept():
    seen = []
    half = lambda x, t: torch.ones_like(x, dtype=torch.bfloat16)  # noqa: E731
    out = euler(half, torch.zeros(2, 2), linear(3), on_step=lambda i, x: seen.append((i, x.mean().item())))
    assert out.dtype == torch.float32
    assert [i for i, _ in seen] == [0, 1, 2]
    assert seen[-1][1] == pytest.approx(1)


def test_paper_defaults():
    config = SamplerConfig()
    assert (config.solver, config.num_steps, config.num_emulated_steps, config.guidance_scale) == (
        "euler",
        50,
        250,
        7.5,
    )
    torch.testing.assert_close(solver_times(config), linear_quadratic(50, 250))


@pytest.mark.parametrize(
    "bad",
    [
        {"num_steps": 0},
        {"num_emulated_steps": 10},
        {"guidance_scale": -1.0},
        {"guidance_scale_end": -2.0},
        {"tolerance": 0},
    ],
)
def test_errors_for_invalid_sampler_configs(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))}.*{re.escape(str(next(iter(bad.values()))))}"):
        SamplerConfig(**bad)


def test_sampling_starts_from_the_given_standard_normal_noise():
    noise = randn_samples((16, 2, 4, 4), 7, "sample", 0, list(range(64)))
    seen = []

    def velocity(x, t):
        seen.append((x, t))
        return torch.zeros_like(x)

    out = sample(velocity, noise, SamplerConfig(guidance_scale=1.0, num_steps=2))
    assert torch.equal(seen[0][0], noise)
    assert not seen[0][1].any()
    assert torch.equal(out, noise)
    values = noise.flatten().double()
    assert values.mean().item() == pytest.approx(0, abs=0.02)
    assert values.std().item() == pytest.approx(1, abs=0.02)
    assert stats.kurtosis(values.numpy()) == pytest.approx(0, abs=0.1)
    assert stats.kstest(values.numpy(), "norm").pvalue > 0.01
