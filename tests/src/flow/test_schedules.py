"""Schedules against published numbers and closed forms."""

import pytest
import torch

from src.flow.schedules import cosine, linear, linear_quadratic


def test_linear():
    torch.testing.assert_close(linear(4), torch.tensor([0, 0.25, 0.5, 0.75, 1], dtype=torch.float64))


def test_cosine():
    half = 0.5**0.5
    torch.testing.assert_close(cosine(2), torch.tensor([0, 1 - half, 1], dtype=torch.float64))
    assert (cosine(50).diff().diff() > 0).all()
    assert cosine(50)[-1] == 1


def test_fifty_steps_for_250():
    t = linear_quadratic(50, 250)
    assert len(t) == 51
    assert t[0] == 0
    assert t[-1] == 1
    torch.testing.assert_close(t[:26], linear(250)[:26], rtol=0, atol=1e-15)
    assert t[25].item() == pytest.approx(0.1)
    assert t[26].item() == pytest.approx(0.10528, abs=5e-6)
    assert (t[50] - t[49]).item() == pytest.approx(0.0667, abs=5e-5)


def test_fifty_steps_for_1000():
    t = linear_quadratic(50, 1000)
    assert t[25].item() == pytest.approx(0.025)
    assert (t[50] - t[49]).item() == pytest.approx(0.0755, abs=5e-5)


@pytest.mark.parametrize(("num_steps", "emulated"), [(50, 250), (50, 1000), (7, 40), (2, 9), (10, 10)])
def test_step_size_is_continuous_and_quadratic(num_steps, emulated):
    t = linear_quadratic(num_steps, emulated)
    step = t.diff()
    half = num_steps // 2
    torch.testing.assert_close(step[:half], torch.full((half,), 1 / emulated, dtype=torch.float64))
    assert (step > 0).all()
    # Beyond the joint, the excess over the straight line is a parabola.
    k = torch.arange(len(t) - half, dtype=torch.float64)
    excess = t[half:] - t[half] - k / emulated
    torch.testing.assert_close(excess, excess[-1] * (k / k[-1]) ** 2, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("emulated", "expected"),
    [
        (250, {26: 0.10528, 30: 0.152, 40: 0.448, 49: 0.93328}),
        (1000, {26: 0.02752, 30: 0.068, 40: 0.382, 49: 0.92452}),
    ],
)
def test_equals_the_threshold_formula(emulated, expected):
    """Values of the formula in other implementations, with threshold_noise = 25 / N."""
    t = linear_quadratic(50, emulated)
    for index, value in expected.items():
        assert t[index].item() == pytest.approx(value, abs=1e-12)


def test_quadratic_start_with_zero_slope():
    t = linear_quadratic(50, 250, "zero_slope")
    assert (t[26] - t[25]).item() == pytest.approx(0.00144)
    assert t[-1] == 1
    assert (t.diff() > 0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linear(0), "num_steps.*0"),
        (lambda: linear_quadratic(50, 40), "num_emulated_steps.*40"),
        (lambda: linear_quadratic(50, 250, "cubic"), "quadratic_start.*cubic"),
    ],
)
def test_errors_name_the_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()
