"""Blocks of the temporal autoencoder: residual, attention, down- and upsampling.

Legend: T frames, B batch, C channels, H height, W width, S = H * W positions, D head width.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from src.models.tae.config import TAEConfig
from src.models.tae.layers import Conv2d, UpConv2d, add_to, build_norm, fold_time, silu, unfold_time
from src.models.tae.temporal import Conv3d, TemporalConv, replicate_time


def conv(
    config: TAEConfig,
    inputs: int,
    outputs: int,
    *,
    stride: tuple[int, int] = (1, 1),
    up: tuple[int, int] = (1, 1),
    zero: bool = False,
    temporal: bool = True,
) -> nn.Module:
    """A 3x3 convolution of the structure that `config` names.

    Args:
        stride, up: (time, space) factors of 1 or 2. Doubling is by nearest neighbour before the convolution.
        temporal: whether a temporal convolution may follow where no factor demands one.
    """
    taps = config.temporal_kernel
    if config.structure == "3d":
        return Conv3d(inputs, outputs, temporal_kernel=taps, stride=stride, up=up, zero=zero)
    spatial: nn.Module = (
        UpConv2d(inputs, outputs) if up[1] > 1 else Conv2d(inputs, outputs, 3, stride=stride[1], zero=zero)
    )
    # Convolving the frames before they are doubled gives the same as after, at half the price.
    if config.structure == "2.5d" and (temporal or stride[0] > 1 or up[0] > 1):
        return nn.Sequential(spatial, TemporalConv(outputs, taps, stride=stride[0], up=up[0] > 1))
    return spatial


class ResBlock(nn.Module):
    """Norm, SiLU, convolution, twice, beside a shortcut; x_TBCHW in and out."""

    def __init__(self, config: TAEConfig, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1 = build_norm(inputs, config.norm, config.norm_groups)
        self.conv1 = conv(config, inputs, outputs, temporal=config.temporal_every == "conv")
        self.norm2 = build_norm(outputs, config.norm, config.norm_groups)
        self.conv2 = conv(config, outputs, outputs, zero=config.zero_residual)
        self.shortcut = Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        shortcut_TBCHW = self.shortcut(x_TBCHW)
        h_TBCHW = self.conv1(silu(self.norm1(x_TBCHW)))
        return add_to(self.conv2(silu(self.norm2(h_TBCHW))), shortcut_TBCHW)


class Linear(nn.Linear):
    """A linear layer that may start at nothing."""

    def __init__(self, inputs: int, outputs: int, *, zero: bool = False) -> None:
        self.zero = zero
        super().__init__(inputs, outputs)

    def reset_parameters(self) -> None:
        if self.zero:
            nn.init.zeros_(self.weight)
            nn.init.zeros_(self.bias)
        else:
            super().reset_parameters()


class Attention(nn.Module):
    """Self-attention over one axis of x_TBCHW: the positions of a frame, or the frames of a position.

    The temporal one starts as the identity (its output projection is zero).
    """

    def __init__(self, config: TAEConfig, channels: int, *, over_time: bool) -> None:
        super().__init__()
        self.heads, self.over_time = config.attention_heads, over_time
        self.norm = build_norm(channels, config.norm, config.norm_groups)
        self.qkv = Linear(channels, 3 * channels)
        self.out = Linear(channels, channels, zero=over_time)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        T, B, C, H, W = x_TBCHW.shape
        h_TBSC = self.norm(x_TBCHW).permute(0, 1, 3, 4, 2).reshape(T, B, H * W, C)
        h_bLC = h_TBSC.permute(1, 2, 0, 3).flatten(0, 1) if self.over_time else h_TBSC.flatten(0, 1)
        h_bLC = h_bLC.contiguous()  # else `linear` multiplies a copy of its weight with every position
        q, k, v = self.qkv(h_bLC).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        o_bLC = self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        o_TBSC = (
            o_bLC.view(B, H * W, T, C).permute(2, 0, 1, 3) if self.over_time else o_bLC.view(T, B, H * W, C)
        )
        return x_TBCHW + o_TBSC.reshape(T, B, H, W, C).permute(0, 1, 4, 2, 3)


class MiddleRound(nn.Module):
    """Attention over space, over time, then a residual block."""

    def __init__(self, config: TAEConfig, channels: int) -> None:
        super().__init__()
        self.over_space: nn.Module = nn.Identity()
        self.over_time: nn.Module = nn.Identity()
        if config.attention:
            self.over_space = Attention(config, channels, over_time=False)
        if config.attention and config.structure != "frame":
            self.over_time = Attention(config, channels, over_time=True)
        self.block = ResBlock(config, channels, channels)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return self.block(self.over_time(self.over_space(x_TBCHW)))


class Middle(nn.Module):
    """The coarsest level: a residual block, then rounds of attention and a residual block."""

    def __init__(self, config: TAEConfig, channels: int) -> None:
        super().__init__()
        self.block = ResBlock(config, channels, channels)
        self.rounds = nn.Sequential(*(MiddleRound(config, channels) for _ in range(config.middle_rounds)))

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return self.rounds(self.block(x_TBCHW))


class Down(nn.Module):
    """Strided convolutions in space and time: T to ceil(T / time), H and W divided by `space`."""

    def __init__(self, config: TAEConfig, inputs: int, outputs: int, *, time: int, space: int) -> None:
        super().__init__()
        self.time, self.space, self.outputs = time, space, outputs
        self.shortcut = config.shortcuts
        self.conv = conv(config, inputs, outputs, stride=(time, space))

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        y_TBCHW = self.conv(x_TBCHW)
        if not self.shortcut:
            return y_TBCHW
        x_TBCHW = replicate_time(x_TBCHW, 0, -len(x_TBCHW) % self.time)
        return y_TBCHW + fold_channels(x_TBCHW, self.time, self.space, self.outputs)


class Up(nn.Module):
    """Nearest neighbour and convolution in space and time: T times `time`, H and W times `space`."""

    def __init__(self, config: TAEConfig, inputs: int, outputs: int, *, time: int, space: int) -> None:
        super().__init__()
        self.time, self.space, self.outputs = time, space, outputs
        self.shortcut = config.shortcuts
        self.conv = conv(config, inputs, outputs, up=(time, space))

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        y_TBCHW = self.conv(x_TBCHW)
        return (
            y_TBCHW + unfold_channels(x_TBCHW, self.time, self.space, self.outputs)
            if self.shortcut
            else y_TBCHW
        )


def fold_channels(x_TBCHW: Tensor, time: int, space: int, outputs: int) -> Tensor:
    """Move space and time into channels, then match their number to `outputs`."""
    T, B, C, H, W = x_TBCHW.shape
    if (
        space > 1 and C * time % outputs == 0
    ):  # whole squares are averaged: before they are moved, a quarter is to move
        x_TBCHW = unfold_time(F.avg_pool2d(fold_time(x_TBCHW), space), T)
        H, W, space = H // space, W // space, 1
    x = x_TBCHW.permute(0, 1, 3, 4, 2).reshape(T // time, time, B, H // space, space, W // space, space, C)
    x = x.permute(0, 2, 3, 5, 7, 1, 4, 6).reshape(T // time, B, H // space, W // space, -1)
    return match_channels(x, outputs).permute(0, 1, 4, 2, 3)


def unfold_channels(x_TBCHW: Tensor, time: int, space: int, outputs: int) -> Tensor:
    """Match the number of channels, then move them into space and time: the mirror of `fold_channels`."""
    T, B, C, H, W = x_TBCHW.shape
    spread = space if outputs * time % C == 0 else 1  # whole squares are repeated: last, and without a copy
    square = space // spread
    x = match_channels(x_TBCHW.permute(0, 1, 3, 4, 2), outputs * time * square**2)
    x = x.reshape(T, B, H, W, outputs, time, square, square).permute(0, 5, 1, 2, 6, 3, 7, 4)
    x = x.reshape(T * time, B, H * square, 1, W * square, 1, outputs)
    x = x.expand(-1, -1, -1, spread, -1, spread, -1)
    return x.reshape(T * time, B, H * space, W * space, outputs).permute(0, 1, 4, 2, 3)


def match_channels(x: Tensor, channels: int) -> Tensor:
    """Average groups of neighbours in the last dimension, or repeat each; one count divides the other."""
    have = x.shape[-1]
    if have >= channels:
        return x.unflatten(-1, (channels, -1)).mean(-1) if have > channels else x
    return x.repeat_interleave(channels // have, -1)
