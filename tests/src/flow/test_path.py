"""Path and flow times against their formulas."""

import pytest
import torch
from scipy import stats

from src.flow.loss import velocity_loss
from src.flow.noise import torch_generator
from src.flow.path import SIGMA_MIN, predict_data, sample_path
from src.flow.timesteps import fixed_times, logit_normal, times_from_normal


def _pair(shape=(3, 4, 2, 4, 4)):
    g = torch_generator(0, "test.path")
    data, noise = torch.randn(2, *shape, generator=g, dtype=torch.float64)
    return data, noise


def test_endpoints_of_the_path():
    data, noise = _pair()
    assert torch.equal(sample_path(data, noise, torch.zeros(3)).x_t, noise)
    torch.testing.assert_close(
        sample_path(data, noise, torch.ones(3)).x_t, data + SIGMA_MIN * noise, rtol=0, atol=1e-12
    )
    assert SIGMA_MIN == 1e-5


def test_velocity_is_the_derivative():
    data, noise = _pair()
    t, h = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64), 1e-4
    slope = (sample_path(data, noise, t + h).x_t - sample_path(data, noise, t - h).x_t) / (2 * h)
    torch.testing.assert_close(sample_path(data, noise, t).velocity, slope, rtol=0, atol=1e-9)


def test_predict_data_inverts_the_path():
    data, noise = _pair()
    t = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    point = sample_path(data, noise, t)
    torch.testing.assert_close(predict_data(point.x_t, point.velocity, t), data, rtol=0, atol=1e-10)


def test_loss_is_the_mean_squared_error_per_sample():
    data, noise = torch.ones(2, 1, 1, 2, 2), torch.zeros(2, 1, 1, 2, 2)
    loss = velocity_loss(lambda x, t: torch.full_like(x, 3.0), data, noise, torch.tensor([0.2, 0.8]))
    torch.testing.assert_close(loss, torch.tensor([4.0, 4.0]))
    exact = velocity_loss(lambda x, t: torch.ones_like(x), data, noise, torch.tensor([0.2, 0.8]))
    assert torch.equal(exact, torch.zeros(2))


def test_logit_normal_times():
    t = logit_normal(torch.randn(20_000, generator=torch_generator(0, "test.times")))
    assert t.min() > 0
    assert t.max() < 1
    assert stats.kstest(torch.logit(t.double()).numpy(), "norm").pvalue > 0.01
    shifted = logit_normal(torch.zeros(1), mean=1.0, std=2.0)
    torch.testing.assert_close(shifted, torch.sigmoid(torch.ones(1)))
    with pytest.raises(ValueError, match="std"):
        logit_normal(torch.zeros(1), std=0)


def test_uniform_times_use_the_same_draws():
    normal = torch.randn(20_000, generator=torch_generator(0, "test.times"))
    t = times_from_normal(normal, "uniform", mean=3.0, std=9.0)
    assert t.dtype == torch.float32
    assert stats.kstest(t.double().numpy(), "uniform").pvalue > 0.01
    assert (times_from_normal(normal, "logit-normal")[t.argsort()].diff() > -1e-6).all()
    assert torch.equal(times_from_normal(normal, "logit-normal", 1.0, 2.0), logit_normal(normal, 1.0, 2.0))


def test_fixed_times_are_midpoints():
    torch.testing.assert_close(fixed_times(4), torch.tensor([0.125, 0.375, 0.625, 0.875]))
    with pytest.raises(ValueError, match="at least 1"):
        fixed_times(0)
