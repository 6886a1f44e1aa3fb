import pytest
import torch

from src.losses.adversarial import discriminator_hinge
from src.models.config import DiscriminatorConfig
from src.models.discriminator import Discriminator

SMALL = dict(base_channels=8, num_layers=2)


@pytest.mark.parametrize("kind", ["2d", "3d"])
@pytest.mark.parametrize("frames", [1, 3, 8])
def test_one_logit_per_patch(kind, frames):
    d = Discriminator(DiscriminatorConfig(kind=kind, **SMALL))
    logits = d(torch.rand(2, 3, frames, 32, 32))
    assert logits.shape[:2] == (2, 1)
    assert logits.shape[2] == (frames if kind == "2d" else -(-frames // 2))
    assert logits.shape[3:] == (6, 6)


def test_2d_is_per_frame_and_3d_is_not():
    x = torch.rand(1, 3, 6, 32, 32)
    y = x.clone()
    y[:, :, 5] = 0
    two, three = (Discriminator(DiscriminatorConfig(kind=k, **SMALL)) for k in ("2d", "3d"))
    torch.testing.assert_close(two(x)[:, :, :5], two(y)[:, :, :5])
    assert (three(x)[:, :, 1] - three(y)[:, :, 1]).abs().max() > 0


@pytest.mark.parametrize("kind", ["2d", "3d"])
def test_learns_to_discriminate_sharp_from_blurred(kind):
    torch.manual_seed(0)
    d = Discriminator(DiscriminatorConfig(kind=kind, **SMALL))
    optimizer = torch.optim.Adam(d.parameters(), 3e-3)
    real = torch.rand(4, 3, 4, 16, 16).round() * 2 - 1
    fake = torch.nn.functional.avg_pool3d(real, (1, 3, 3), 1, (0, 1, 1))
    for _ in range(20):
        optimizer.zero_grad()
        loss = discriminator_hinge(d(real), d(fake))
        loss.backward()
        optimizer.step()
    assert loss < 0.3


def test_meta_build_then_reset():
    with torch.device("meta"):
        d = Discriminator(DiscriminatorConfig(**SMALL))
    d.to_empty(device="cpu")
    with torch.no_grad():
        for p in d.parameters():
            p.fill_(float("nan"))
    for module in d.modules():
        if list(module.parameters(recurse=False)):
            module.reset_parameters()
    assert all(torch.isfinite(p).all() for p in d.parameters())


def test_error_for_invalid_config():
    with pytest.raises(ValueError, match="num_layers must be at least 1, got 0"):
        DiscriminatorConfig(num_layers=0)
