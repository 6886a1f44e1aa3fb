"""Windows of MultiDiffusion: weights, coverage, and samples of processes with known answers."""

import pytest
import torch
from torch import Tensor

from src.flow.config import SamplerConfig
from src.flow.sampling import sample
from src.flow.windows import triangular_weights, window_starts, windowed_velocity


@pytest.mark.parametrize("size", [1, 2, 7, 10])
def test_weights_are_a_triangle_that_never_reaches_zero(size: int) -> None:
    weights = triangular_weights(size)
    assert (weights > 0).all()
    assert torch.equal(weights, weights.flip(0))
    assert weights.argmax() == (size - 1) // 2
    assert weights.max() <= 1
    if size == 10:
        assert weights[:5].tolist() == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])


def test_windows_cover_every_position_and_end_with_the_signal() -> None:
    assert window_starts(5, 10, 5) == [0]
    assert window_starts(10, 10, 5) == [0]
    assert window_starts(23, 10, 5) == [0, 5, 10, 13]
    assert window_starts(20, 10, 10) == [0, 10]
    with pytest.raises(ValueError, match=r"hop: expected 1 to size=10, got 11"):
        window_starts(30, 10, 11)


@pytest.mark.parametrize("solver", ["euler", "midpoint"])
def test_windows_of_a_velocity_that_needs_no_context_equal_one_pass(solver: str) -> None:
    target = torch.randn(2, 3, 23, 1, 1, generator=torch.Generator().manual_seed(0))

    def uncut(x: Tensor, t: Tensor) -> Tensor:
        return (target - x) / (1 - t.view(-1, 1, 1, 1, 1)).clamp(min=1e-3)

    def inside(start: int, stop: int):
        return lambda x, t: (target[:, :, start:stop] - x) / (1 - t.view(-1, 1, 1, 1, 1)).clamp(min=1e-3)

    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(1))
    config = SamplerConfig(solver=solver, num_steps=8, schedule="linear", guidance_scale=1.0)
    found = sample(windowed_velocity(inside, 23, 10, 5), noise, config)
    torch.testing.assert_close(found, sample(uncut, noise, config))


def test_windows_that_disagree_are_cross_faded_and_nowhere_jump() -> None:
    """The sixth of seven windows needs 1, all others 0: a triangle, not a box."""
    starts = window_starts(40, 10, 5)
    chosen = {start: float(start == 25) for start in starts}

    def inside(start: int, stop: int):
        return lambda x, t: torch.full_like(x, chosen[start])

    found = windowed_velocity(inside, 40, 10, 5, dim=1)(torch.zeros(1, 40), torch.zeros(1))[0]
    assert found[:25].eq(0).all()
    assert found[35:].eq(0).all()
    assert found[25:35].tolist() == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9, 0.9, 0.7, 0.5, 0.3, 0.1])
