import pytest
import torch
import torch.nn.functional as F

from src.models.tae.blocks import fold_channels, unfold_channels
from src.models.tae.layers import UpConv2d, build_norm, fold_time, to_batch_first, to_time_first, unfold_time
from src.models.tae.temporal import Conv3d, TemporalConv


def inner(T=5, B=2, C=4, H=3, W=6):
    return to_time_first(torch.randn(B, C, T, H, W))


def randomized(module):
    with torch.no_grad():
        for p in module.parameters():
            p.normal_()
    return module


def test_layouts_are_inverses_and_folding_is_a_view():
    x_BCTHW = torch.randn(2, 4, 5, 3, 6)
    x = to_time_first(x_BCTHW)
    torch.testing.assert_close(to_batch_first(x), x_BCTHW, rtol=0, atol=0)
    folded = fold_time(x)
    assert folded.data_ptr() == x.data_ptr()
    assert folded.is_contiguous(memory_format=torch.channels_last)
    assert unfold_time(folded, 5).data_ptr() == x.data_ptr()
    torch.testing.assert_close(folded[3], x_BCTHW[1, :, 1], rtol=0, atol=0)


@pytest.mark.parametrize("gradients", [True, False])  # without them the edges are put right in place
@pytest.mark.parametrize("frames", [1, 2, 5, 8])
@pytest.mark.parametrize(("stride", "up"), [(1, False), (2, False), (1, True)])
def test_temporal_convolution_equals_conv3d(frames, stride, up, gradients):
    layer = randomized(TemporalConv(4, stride=stride, up=up))
    x = inner(frames)
    x_BCTHW = to_batch_first(x)
    if up:
        x_BCTHW = x_BCTHW.repeat_interleave(2, 2)
    padded = F.pad(x_BCTHW, (0, 0, 0, 0, 1, 1), mode="replicate")
    plain = F.conv3d(padded, layer.weight[..., None, None], layer.bias, (stride, 1, 1))
    with torch.set_grad_enabled(gradients):
        torch.testing.assert_close(to_batch_first(layer(x)), plain, rtol=1e-4, atol=1e-4)
    assert plain.shape[2] == (2 * frames if up else -(-frames // stride))


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("frames", [2, 3, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_kernel_of_five(gradients, frames, stride):
    layer = randomized(TemporalConv(4, 5, stride=stride))
    x = inner(frames)
    padded = F.pad(to_batch_first(x), (0, 0, 0, 0, 2, 2), mode="replicate")
    plain = F.conv3d(padded, layer.weight[..., None, None], layer.bias, (stride, 1, 1))
    with torch.set_grad_enabled(gradients):
        torch.testing.assert_close(to_batch_first(layer(x)), plain, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"temporal_kernel must be 3 .* got 5"):
        TemporalConv(4, 5, up=True)


def test_spatial_upsampling_is_nearest_then_convolution():
    layer = randomized(UpConv2d(4, 6))
    x = inner(2)
    upsampled = F.interpolate(fold_time(x), scale_factor=2.0, mode="nearest")
    plain = F.conv2d(upsampled, layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(fold_time(layer(x)), plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("factors", [(2, 2), (2, 1), (1, 2)])
def test_3d_convolution_upsamples_and_downsamples(factors):
    """In time and in space, each by its own factor."""
    x, (time, space) = inner(4, H=4, W=4), factors
    down = randomized(Conv3d(4, 6, stride=factors))
    padded = F.pad(to_batch_first(x), (0, 0, 0, 0, 1, 1), mode="replicate")
    padded = F.pad(padded, (0, 1, 0, 1) if space > 1 else (1, 1, 1, 1))
    plain = F.conv3d(padded, down.weight, down.bias, (time, space, space))
    torch.testing.assert_close(to_batch_first(down(x)), plain, rtol=1e-4, atol=1e-4)
    up = randomized(Conv3d(4, 6, up=factors))
    scale = tuple(map(float, (time, space, space)))
    upsampled = F.interpolate(to_batch_first(x), scale_factor=scale, mode="nearest")
    padded = F.pad(F.pad(upsampled, (0, 0, 0, 0, 1, 1), mode="replicate"), (1, 1, 1, 1))
    plain = F.conv3d(padded, up.weight, up.bias)
    torch.testing.assert_close(to_batch_first(up(x)), plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["group", "rms", "layer"])
def test_norms_are_per_frame(kind):
    norm = build_norm(6, kind, groups=4)
    x = inner(C=6)
    torch.testing.assert_close(norm(x)[2:3], norm(x[2:3]))
    if kind == "group":
        assert norm.num_groups == 3  # the most that divide 6
    if kind == "layer":
        assert norm(x).mean(2).abs().max() < 1e-5


def test_channel_folding_averages_and_unfolding_mirrors_it():
    x = inner(T=4, C=4, H=4, W=4)
    down = fold_channels(x, 2, 2, 8)
    assert down.shape == (2, 2, 8, 2, 2)
    # Groups of 4 of the 32 folded values: output channel 0 is channel 0 of the first frame's 2x2 square.
    torch.testing.assert_close(down[0, :, 0, 0, 0], x[0, :, 0, :2, :2].mean((1, 2)))
    up = unfold_channels(down, 2, 2, 4)
    assert up.shape == x.shape
    torch.testing.assert_close(fold_channels(up, 2, 2, 8), down)
