import pytest
import torch

from src.losses.reconstruction import gradient_loss, l1_loss, mse_loss, psnr


def test_closed_forms():
    x, y = torch.zeros(2, 3, 4, 5, 6), torch.full((2, 3, 4, 5, 6), 0.2)
    assert l1_loss(x, y).item() == pytest.approx(0.2)
    assert mse_loss(x, y).item() == pytest.approx(0.04)
    assert gradient_loss(x, y).item() == 0  # a constant offset has no gradient
    torch.testing.assert_close(psnr(x, y), torch.full((2,), 20.0))  # error 0.1 of the range 1
    assert psnr(x, x).tolist() == pytest.approx([100.0, 100.0])
    assert psnr(x + 1, x + 3).tolist() == pytest.approx([100.0, 100.0])  # both clip to white


def test_gradient_covers_every_axis_and_accepts_single_frames():
    for axis in (2, 3, 4):
        ramp = torch.arange(4.0).view([-1 if d == axis else 1 for d in range(5)]).expand(1, 1, 4, 4, 4)
        assert gradient_loss(ramp, torch.zeros_like(ramp)).item() == pytest.approx(1 / 3)
    assert torch.isfinite(gradient_loss(torch.rand(1, 3, 1, 4, 4), torch.rand(1, 3, 1, 4, 4)))
    assert gradient_loss(torch.rand(1, 3, 1, 1, 1), torch.rand(1, 3, 1, 1, 1)) == 0
