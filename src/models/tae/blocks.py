"""Blocks of the temporal autoencoder: residual, attention, downsampling and upsampling.

Legend: T frames, B batch, C channels, H height, W width, S = H * W positions, D head width.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from src.models.nn.layers import ZeroLinear
from src.models.tae.config import TAEConfig
from src.models.tae.layers import Conv2d, UpConv2d, add_, build_norm, fold_time, silu_, unfold_time
from src.models.tae.temporal import Conv3d, TemporalConv, replicate_time


def build_conv(
    config: TAEConfig,
    in_channels: int,
    out_channels: int,
    *,
    stride: tuple[int, int] = (1, 1),
    up: tuple[int, int] = (1, 1),
    zero: bool = False,
    temporal: bool = True,
) -> nn.Module:
    """Return a 3x3 convolution in the structure of the config: 2.5D, 3D or frame by frame.

    Args:
        stride, up: (time, space) factors of 1 or 2. Upsampling is nearest-neighbor, before the convolution.
        zero: initialize at zero.
        temporal: add a temporal convolution (2.5D) even where no temporal factor requires one.
    """
    kernel = config.temporal_kernel
    if config.structure == "3d":
        return Conv3d(in_channels, out_channels, temporal_kernel=kernel, stride=stride, up=up, zero=zero)
    spatial: nn.Module = (
        UpConv2d(in_channels, out_channels)
        if up[1] > 1
        else Conv2d(in_channels, out_channels, 3, stride=stride[1], zero=zero)
    )
    # Spatial convolution before temporal upsampling gives the same as after it, at half the cost.
    if config.structure == "2.5d" and (temporal or stride[0] > 1 or up[0] > 1):
        return nn.Sequential(spatial, TemporalConv(out_channels, kernel, stride=stride[0], up=up[0] > 1))
    return spatial


class ResBlock(nn.Module):
    """Twice norm, SiLU and convolution, with a shortcut; x_TBCHW in and out."""

    def __init__(self, config: TAEConfig, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1 = build_norm(in_channels, config.norm, config.num_norm_groups)
        self.conv1 = build_conv(config, in_channels, out_channels, temporal=config.temporal_every == "conv")
        self.norm2 = build_norm(out_channels, config.norm, config.num_norm_groups)
        self.conv2 = build_conv(config, out_channels, out_channels, zero=config.zero_residual)
        self.shortcut = Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        shortcut_TBCHW = self.shortcut(x_TBCHW)
        h_TBCHW = self.conv1(silu_(self.norm1(x_TBCHW)))
        return add_(self.conv2(silu_(self.norm2(h_TBCHW))), shortcut_TBCHW)


class Attention(nn.Module):
    """Self-attention over one axis of x_TBCHW: the positions of a frame, or the frames of a position.

    The temporal one is initialized as the identity: its output projection is zero.
    """

    def __init__(self, config: TAEConfig, channels: int, *, over_time: bool) -> None:
        super().__init__()
        self.num_heads, self.over_time = config.num_attention_heads, over_time
        self.norm = build_norm(channels, config.norm, config.num_norm_groups)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = ZeroLinear(channels, channels, bias=True) if over_time else nn.Linear(channels, channels)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        T, B, C, H, W = x_TBCHW.shape
        h_TBSC: Tensor = self.norm(x_TBCHW).permute(0, 1, 3, 4, 2).reshape(T, B, H * W, C)
        h_bLC = h_TBSC.permute(1, 2, 0, 3).flatten(0, 1) if self.over_time else h_TBSC.flatten(0, 1)
        h_bLC = h_bLC.contiguous()  # otherwise F.linear copies its weight for every position
        q, k, v = self.qkv(h_bLC).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        o_bLC: Tensor = self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        o_TBSC = (
            o_bLC.view(B, H * W, T, C).permute(2, 0, 1, 3) if self.over_time else o_bLC.view(T, B, H * W, C)
        )
        return x_TBCHW + o_TBSC.reshape(T, B, H, W, C).permute(0, 1, 4, 2, 3)


class MidBlock(nn.Module):
    """Attention over space, attention over time, then a residual block."""

    def __init__(self, config: TAEConfig, channels: int) -> None:
        super().__init__()
        self.spatial_attention: nn.Module = nn.Identity()
        self.temporal_attention: nn.Module = nn.Identity()
        if config.attention:
            self.spatial_attention = Attention(config, channels, over_time=False)
        if config.attention and config.structure != "frame":
            self.temporal_attention = Attention(config, channels, over_time=True)
        self.block = ResBlock(config, channels, channels)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        out: Tensor = self.block(self.temporal_attention(self.spatial_attention(x_TBCHW)))
        return out


class MidLevel(nn.Module):
    """The coarsest level: a residual block, then mid blocks."""

    def __init__(self, config: TAEConfig, channels: int) -> None:
        super().__init__()
        self.block = ResBlock(config, channels, channels)
        self.blocks = nn.Sequential(*(MidBlock(config, channels) for _ in range(config.num_mid_blocks)))

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        out: Tensor = self.blocks(self.block(x_TBCHW))
        return out


class Down(nn.Module):
    """Downsample by strided convolution: T to ceil(T / time), H and W divided by `space`."""

    def __init__(
        self, config: TAEConfig, in_channels: int, out_channels: int, *, time: int, space: int
    ) -> None:
        super().__init__()
        self.time, self.space, self.out_channels = time, space, out_channels
        self.shortcut = config.shortcuts
        self.conv = build_conv(config, in_channels, out_channels, stride=(time, space))

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        y_TBCHW: Tensor = self.conv(x_TBCHW)
        if not self.shortcut:
            return y_TBCHW
        x_TBCHW = replicate_time(x_TBCHW, 0, -len(x_TBCHW) % self.time)
        return y_TBCHW + fold_channels(x_TBCHW, self.time, self.space, self.out_channels)


class Up(nn.Module):
    """Upsample by nearest neighbor and convolution: T times `time`, H and W times `space`."""

    def __init__(
        self, config: TAEConfig, in_channels: int, out_channels: int, *, time: int, space: int
    ) -> None:
        super().__init__()
        self.time, self.space, self.out_channels = time, space, out_channels
        self.shortcut = config.shortcuts
        self.conv = build_conv(config, in_channels, out_channels, up=(time, space))

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        y_TBCHW: Tensor = self.conv(x_TBCHW)
        return (
            y_TBCHW + unfold_channels(x_TBCHW, self.time, self.space, self.out_channels)
            if self.shortcut
            else y_TBCHW
        )


def fold_channels(x_TBCHW: Tensor, time: int, space: int, out_channels: int) -> Tensor:
    """Move space and time into channels, then match their number to `out_channels`."""
    T, B, C, H, W = x_TBCHW.shape
    if space > 1 and C * time % out_channels == 0:
        # Matching channels would average full squares: pooling first leaves a quarter of the data to permute.
        x_TBCHW = unfold_time(F.avg_pool2d(fold_time(x_TBCHW), space), T)
        H, W, space = H // space, W // space, 1
    x = x_TBCHW.permute(0, 1, 3, 4, 2).reshape(T // time, time, B, H // space, space, W // space, space, C)
    x = x.permute(0, 2, 3, 5, 7, 1, 4, 6).reshape(T // time, B, H // space, W // space, -1)
    return match_channels(x, out_channels).permute(0, 1, 4, 2, 3)


def unfold_channels(x_TBCHW: Tensor, time: int, space: int, out_channels: int) -> Tensor:
    """Match the number of channels, then move them into space and time: mirrors `fold_channels`."""
    T, B, C, H, W = x_TBCHW.shape
    # Where full squares would be repeated, repeat last, by `expand`, which does not copy.
    repeat = space if out_channels * time % C == 0 else 1
    square = space // repeat
    x = match_channels(x_TBCHW.permute(0, 1, 3, 4, 2), out_channels * time * square**2)
    x = x.reshape(T, B, H, W, out_channels, time, square, square).permute(0, 5, 1, 2, 6, 3, 7, 4)
    x = x.reshape(T * time, B, H * square, 1, W * square, 1, out_channels)
    x = x.expand(-1, -1, -1, repeat, -1, repeat, -1)
    return x.reshape(T * time, B, H * space, W * space, out_channels).permute(0, 1, 4, 2, 3)


def match_channels(x: Tensor, channels: int) -> Tensor:
    """Average groups of adjacent channels (last dimension), or repeat each; one count divides the other."""
    current = x.shape[-1]
    if current >= channels:
        return x.unflatten(-1, (channels, -1)).mean(-1) if current > channels else x
    return x.repeat_interleave(channels // current, -1)
