"""Convolutions and norms of the temporal autoencoder.

Legend: T frames, B batch, C channels, H height, W width; N = T * B.

Inside the model a film is x_TBCHW whose memory is ordered T, B, H, W, C. Folding time into the batch is then
a free view in channels-last layout for the 2D layers, and a temporal convolution is a convolution with a
(k, 1) kernel over the "picture" of T rows and B*H*W columns: the fastest of seven ways that were measured.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def to_time_first(x_BCTHW: Tensor) -> Tensor:
    """Outer layout to inner layout: x_TBCHW with memory order T, B, H, W, C."""
    return x_BCTHW.permute(2, 0, 3, 4, 1).contiguous().permute(0, 1, 4, 2, 3)


def to_batch_first(x_TBCHW: Tensor) -> Tensor:
    """Inner layout to outer layout, contiguous x_BCTHW."""
    return x_TBCHW.permute(1, 2, 0, 3, 4).contiguous()


def fold_time(x_TBCHW: Tensor) -> Tensor:
    """View as pictures x_NCHW in channels-last memory."""
    T, B, C, H, W = x_TBCHW.shape
    return x_TBCHW.permute(0, 1, 3, 4, 2).reshape(T * B, H, W, C).permute(0, 3, 1, 2)


def unfold_time(x_NCHW: Tensor, num_frames: int) -> Tensor:
    """Undo `fold_time`."""
    N, C, H, W = x_NCHW.shape
    x_NHWC = x_NCHW.permute(0, 2, 3, 1)
    return x_NHWC.reshape(num_frames, N // num_frames, H, W, C).permute(0, 1, 4, 2, 3)


def replicate_time(x_TBCHW: Tensor, before: int, after: int) -> Tensor:
    """Repeat the first and the last frame."""
    if before == after == 0:
        return x_TBCHW
    first, last = x_TBCHW[:1], x_TBCHW[-1:]
    return torch.cat([first] * before + [x_TBCHW] + [last] * after)


class Conv2d(nn.Conv2d):
    """2D convolution of every frame; `zero` starts it at nothing."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, zero: bool = False
    ) -> None:
        self.zero = zero
        # Latent Diffusion pads strided convolutions on the far side only, which `forward` does by hand.
        super().__init__(inputs, outputs, kernel, stride=stride, padding=0 if stride > 1 else kernel // 2)

    def reset_parameters(self) -> None:
        if self.zero:
            nn.init.zeros_(self.weight)
            nn.init.zeros_(self.bias)  # type: ignore[arg-type]
        else:
            super().reset_parameters()

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        x_NCHW = fold_time(x_TBCHW)
        if self.stride[0] > 1:
            x_NCHW = F.pad(x_NCHW, (0, self.kernel_size[0] // 2) * 2)
        return unfold_time(super().forward(x_NCHW), len(x_TBCHW))


class UpConv2d(Conv2d):
    """Nearest-neighbour doubling, then a 3x3 convolution: computed on the small picture.

    Each of the four output phases sees only 2x2 different input pixels, so the doubled picture is never made
    and 16 products do the work of 36. The weights stay those of a plain 3x3 convolution.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        x_NCHW = F.pad(fold_time(x_TBCHW), (1, 1, 1, 1))
        w = phase_taps(phase_taps(self.weight, 2), 3 + 1)  # two phases of 2 taps along H, then along W
        w = w.flatten(0, 2).contiguous(memory_format=torch.channels_last)
        y_NHWC = F.conv2d(x_NCHW, w).permute(0, 2, 3, 1)
        H, W = y_NHWC.shape[1] - 1, y_NHWC.shape[2] - 1
        y_PNHWC = y_NHWC.unflatten(3, (4, -1)).unbind(3)  # phases (w, h): 00, 01, 10, 11
        rows_NHWpC = [
            torch.stack([y_PNHWC[h][:, h : h + H, :W], y_PNHWC[2 + h][:, h : h + H, 1 : W + 1]], 3)
            for h in range(2)
        ]
        y_NHWC = torch.stack(rows_NHWpC, 2).reshape(len(x_NCHW), 2 * H, 2 * W, -1) + self.bias  # type: ignore[operator]
        return unfold_time(y_NHWC.permute(0, 3, 1, 2), len(x_TBCHW))


def phase_taps(w: Tensor, dim: int) -> Tensor:
    """Taps of a 3-tap convolution after nearest doubling, seen from the undoubled input.

    Returns:
        [2, ...]: phase first, and 2 taps instead of 3 in `dim` (counted before the phase is added in front).
        Phase 0 sees (previous, this), phase 1 (this, next).
    """
    a, b, c = w.unbind(dim)
    return torch.stack([torch.stack([a, b + c], dim), torch.stack([a + b, c], dim)])


class TemporalConv(nn.Module):
    """1D convolution over time with symmetric replicate padding; starts as the identity on the centre frame.

    Stride 2 maps T to ceil(T / 2). `up` doubles the frames by nearest neighbour first.
    """

    def __init__(self, channels: int, kernel: int = 3, *, stride: int = 1, up: bool = False) -> None:
        super().__init__()
        if up and kernel != 3:
            raise ValueError(
                f"temporal_kernel: {kernel} is not supported where frames are doubled, only 3 is"
            )
        self.kernel, self.stride, self.up = kernel, stride, up
        self.weight = nn.Parameter(torch.empty(channels, channels, kernel))
        self.bias = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.dirac_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        T, B, C, H, W = x_TBCHW.shape
        if T == 1 and not self.up:  # every tap sees the same frame
            w_OI11 = self.weight.sum(2)[..., None, None]
            return unfold_time(F.conv2d(fold_time(x_TBCHW), w_OI11, self.bias), T)
        x_TMC = replicate_time(x_TBCHW, self.kernel // 2, self.kernel // 2).permute(0, 1, 3, 4, 2)
        x_1CTM = x_TMC.reshape(1, -1, B * H * W, C).permute(0, 3, 1, 2)
        if self.up:
            w_OIk1 = phase_taps(self.weight, 2).flatten(0, 1)[..., None]
            y_TMO = F.conv2d(x_1CTM, w_OIk1).permute(0, 2, 3, 1)[0] + self.bias.repeat(2)
            y_TMC = torch.stack([y_TMO[:-1, :, :C], y_TMO[1:, :, C:]], 1).flatten(0, 1)
        else:
            y_1CTM = F.conv2d(x_1CTM, self.weight[..., None], self.bias, stride=(self.stride, 1))
            y_TMC = y_1CTM.permute(0, 2, 3, 1)[0]
        return y_TMC.reshape(-1, B, H, W, C).permute(0, 1, 4, 2, 3)


class Conv3d(nn.Module):
    """Full 3D convolution, for the ablation: zero padding in space, replicate padding in time.

    Starts as the 2D convolution it is inflated from: only the centre frame's taps are not zero.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        temporal_kernel: int = 3,
        stride: tuple[int, int] = (1, 1),
        up: tuple[int, int] = (1, 1),
        zero: bool = False,
    ) -> None:
        super().__init__()
        self.stride, self.up, self.zero, self.kernel = stride, up, zero, temporal_kernel
        self.weight = nn.Parameter(torch.empty(outputs, inputs, temporal_kernel, 3, 3))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)
        if not self.zero:
            centre = torch.empty_like(self.weight[:, :, 0])
            nn.init.kaiming_uniform_(centre, a=5**0.5)
            with torch.no_grad():
                self.weight[:, :, self.kernel // 2] = centre

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        for dims, factor in (((0,), self.up[0]), ((3, 4), self.up[1])):
            for dim in dims if factor > 1 else ():
                x_TBCHW = x_TBCHW.repeat_interleave(factor, dim)
        x_BCTHW = replicate_time(x_TBCHW, self.kernel // 2, self.kernel // 2).permute(1, 2, 0, 3, 4)
        pad = (0, 1, 0, 1) if self.stride[1] > 1 else (1, 1, 1, 1)
        y_BCTHW = F.conv3d(
            F.pad(x_BCTHW, pad), self.weight, self.bias, (self.stride[0], *[self.stride[1]] * 2)
        )
        return to_time_first(y_BCTHW)


class GroupNorm(nn.GroupNorm):
    """Group norm over every frame by itself, so that a film of one frame is a picture."""

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return unfold_time(super().forward(fold_time(x_TBCHW)), len(x_TBCHW))


class ChannelNorm(nn.Module):
    """Norm over the channels of every position: `rms`, or `layer`, which also takes the mean away."""

    def __init__(self, channels: int, kind: Literal["rms", "layer"], eps: float = 1e-6) -> None:
        super().__init__()
        self.kind, self.eps = kind, eps
        self.weight = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.ones_(self.weight)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        x_TBHWC = x_TBCHW.permute(0, 1, 3, 4, 2)
        shape = (x_TBHWC.shape[-1],)
        if self.kind == "layer":
            y_TBHWC = F.layer_norm(x_TBHWC, shape, self.weight, None, self.eps)
        else:
            y_TBHWC = F.rms_norm(x_TBHWC, shape, self.weight, self.eps)
        return y_TBHWC.permute(0, 1, 4, 2, 3)


def build_norm(channels: int, kind: Literal["group", "rms", "layer"], groups: int = 32) -> nn.Module:
    """The norm that a config names, for one width."""
    if kind == "group":
        while channels % groups:
            groups -= 1
        return GroupNorm(groups, channels, eps=1e-6)
    return ChannelNorm(channels, kind)
