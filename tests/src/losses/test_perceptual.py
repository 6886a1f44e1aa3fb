import pytest
import torch
from torch import nn

from src.losses.perceptual import PerceptualLoss


class Features(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        h = self.conv(x)
        return [h, self.dropout(h)[:, :2]]


def test_distance_is_the_mean_over_frames():
    torch.manual_seed(0)
    loss = PerceptualLoss(Features()).train()
    x, y = torch.rand(2, 3, 4, 8, 8), torch.rand(2, 3, 4, 8, 8, requires_grad=True)
    assert loss(x, x) == 0
    value = loss(x, y)
    frames = [
        loss(x[b : b + 1, :, t : t + 1], y[b : b + 1, :, t : t + 1]) for b in range(2) for t in range(4)
    ]
    torch.testing.assert_close(value, torch.stack(frames).mean())
    value.backward()
    assert y.grad.abs().sum() > 0
    assert all(p.grad is None for p in loss.parameters())


def test_channel_weights_select_channels():
    torch.manual_seed(0)
    features = Features()
    x, y = torch.rand(1, 3, 1, 8, 8), torch.rand(1, 3, 1, 8, 8)
    assert PerceptualLoss(features, [torch.zeros(5), torch.zeros(2)])(x, y) == 0
    ones = PerceptualLoss(features, [torch.ones(5), torch.ones(2)])
    torch.testing.assert_close(ones(x, y), PerceptualLoss(features)(x, y))
    with pytest.raises(ValueError, match="channel_weights has 1 depths, the features have 2"):
        PerceptualLoss(features, [torch.ones(5)])(x, y)


def test_distance_equals_the_formula():
    """Of unit vectors at each position, summed over channels, a mean over positions, a sum over layers."""
    torch.manual_seed(0)
    features, weights = Features(), [torch.rand(5), torch.rand(2)]
    x, y = torch.rand(2, 3, 1, 8, 6), torch.rand(2, 3, 1, 8, 6)
    expected = torch.zeros(())
    for a, b, w in zip(features.eval()(x[:, :, 0]), features(y[:, :, 0]), weights, strict=True):
        cells = [(n, i, j) for n in range(2) for i in range(a.shape[2]) for j in range(a.shape[3])]
        for n, i, j in cells:
            u, v = a[n, :, i, j], b[n, :, i, j]
            expected += (w * (u / u.norm() - v / v.norm()).square()).sum() / len(cells)
    torch.testing.assert_close(PerceptualLoss(features, weights)(x, y), expected)
