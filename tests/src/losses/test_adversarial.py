import pytest
import torch

from src.losses.adversarial import (
    adaptive_weight,
    discriminator_hinge,
    discriminator_lsgan_loss,
    feature_matching,
    generator_hinge,
    generator_lsgan_loss,
    squared_gradient_norms,
)


def test_hinge_losses_match_closed_forms():
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([-3.0, 0.5])
    assert discriminator_hinge(real, fake).item() == pytest.approx(0.5 * (0.5 + 0.75))
    assert generator_hinge(fake).item() == pytest.approx(1.25)


def test_adaptive_weight_equalizes_gradient_norms():
    y = torch.randn(4, 3, requires_grad=True)
    reconstruction, adversarial = (y**2).mean(), -(5 * y[:, 0]).mean()
    weight = adaptive_weight(*squared_gradient_norms([reconstruction, adversarial], y))
    a, b = (
        torch.autograd.grad(loss, y, retain_graph=True)[0] for loss in (reconstruction, weight * adversarial)
    )
    torch.testing.assert_close(a.norm(), b.norm())
    assert not weight.requires_grad
    assert adaptive_weight(torch.tensor(1.0), torch.tensor(0.0)) == 1e4


def test_adaptive_weight_of_summed_halves_equals_the_full_batch():
    y = torch.randn(4, 3)

    def norms(part):
        part = part.clone().requires_grad_()
        return squared_gradient_norms([(part**2).mean(), -(part**3).mean()], part)

    full, halves = norms(y), norms(y[:2]) + norms(y[2:])
    torch.testing.assert_close(adaptive_weight(*full), adaptive_weight(*halves))


def test_lsgan_and_feature_matching_are_their_formulas() -> None:
    real = [torch.tensor([1.0, 0.5]), torch.tensor([0.0])]
    fake = [torch.tensor([0.0, 1.0]), torch.tensor([2.0])]
    assert float(discriminator_lsgan_loss(real, fake)) == (0.25 / 2 + 0.5) + (1.0 + 4.0)
    assert float(generator_lsgan_loss(fake)) == 0.5 + 1.0
    perfect = discriminator_lsgan_loss([torch.ones(3)], [torch.zeros(3)])
    assert float(perfect) == 0.0
    maps = [[torch.ones(2), torch.zeros(3)], [torch.full((4,), 2.0)]]
    others = [[torch.zeros(2), torch.zeros(3)], [torch.full((4,), -1.0)]]
    assert float(feature_matching(maps, others)) == 1.0 + 0.0 + 3.0
