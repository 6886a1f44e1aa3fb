import pytest
import torch

from src.losses.latent import outlier_fraction, outlier_penalty, per_pixel_value


def reference_penalty(latent_BCTHW, r):
    """The paper's formula as a plain loop over frames and positions."""
    total, frames = 0.0, 0
    B, C, T, H, W = latent_BCTHW.shape
    for b in range(B):
        for t in range(T):
            x_CHW = latent_BCTHW[b, :, t]
            mean_C = torch.stack([x_CHW[c].mean() for c in range(C)])
            std_C = torch.stack([x_CHW[c].std(correction=0) for c in range(C)])
            for i in range(H):
                for j in range(W):
                    distance = (x_CHW[:, i, j] - mean_C).square().sum().sqrt()
                    total = total + (distance - r * std_C.square().sum().sqrt()).clamp_min(0) / (H * W)
            frames += 1
    return total / frames


@pytest.mark.parametrize("r", [0.5, 1.0, 3.0])
def test_penalty_and_gradient_match_a_plain_loop(r):
    latent = torch.randn(2, 4, 3, 5, 6, dtype=torch.float64)
    latent[0, :, 1, 2, 3] = 30.0  # an outlier
    ours, plain = latent.float().requires_grad_(), latent.clone().requires_grad_()
    a, b = outlier_penalty(ours, r), reference_penalty(plain, r)
    torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-5)
    assert a > 0
    a.backward()
    b.backward()
    torch.testing.assert_close(ours.grad.double(), plain.grad, rtol=1e-3, atol=1e-5)


def test_minimizing_the_penalty_removes_the_outlier():
    latent = torch.randn(1, 4, 1, 8, 8)
    latent[0, :, 0, 2, 3] = 30.0
    latent.requires_grad_()
    optimizer = torch.optim.SGD([latent], 50.0)
    before = outlier_fraction(latent)
    for _ in range(300):
        optimizer.zero_grad()
        outlier_penalty(latent).backward()
        optimizer.step()
    assert before == pytest.approx(1 / 64)
    assert outlier_fraction(latent) == 0
    assert outlier_penalty(latent) < 0.05


def test_constant_latent_has_zero_penalty_and_gradient():
    latent = torch.ones(1, 4, 2, 3, 3, requires_grad=True)
    outlier_penalty(latent).backward()
    assert torch.equal(latent.grad, torch.zeros_like(latent))


def test_published_weights_with_an_averaged_error():
    video, noisy = torch.zeros(2, 3, 4, 8, 8), torch.ones(2, 3, 4, 8, 8)
    summed = (noisy - video).abs().sum() / 2 + 1e-6 * torch.tensor(1e9)
    averaged = (noisy - video).abs().mean() + 1e-6 * per_pixel_value(torch.tensor(1e9), video[0])
    torch.testing.assert_close(summed / video[0].numel(), averaged)
