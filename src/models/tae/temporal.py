"""Convolutions of the temporal autoencoder that mix frames: 1D over time, or full 3D for the ablation.

Legend: T frames, B batch, C channels, H height, W width; M = B * H * W.

A temporal convolution is a 2D convolution with a (k, 1) kernel over an "image" of T rows and M columns, the
fastest of seven implementations measured on a CPU (memory layout: layers.py).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.tae.layers import fold_time, to_time_first, unfold_time, upsample_kernel


class _ReplicateTime(torch.autograd.Function):
    """Replicate padding in time. The backward pass of slices would allocate a video of zeros for each."""

    @staticmethod
    def forward(ctx: Any, x_TBCHW: Tensor, before: int, after: int) -> Tensor:
        ctx.before, ctx.after = before, after
        return torch.cat([x_TBCHW[:1]] * before + [x_TBCHW] + [x_TBCHW[-1:]] * after)

    @staticmethod
    def backward(ctx: Any, grad_TBCHW: Tensor) -> tuple[Tensor, None, None]:
        end = len(grad_TBCHW) - ctx.after
        inner_TBCHW = grad_TBCHW[ctx.before : end].clone(memory_format=torch.preserve_format)
        if ctx.before:
            inner_TBCHW[0] += grad_TBCHW[: ctx.before].sum(0)
        if ctx.after:
            inner_TBCHW[-1] += grad_TBCHW[end:].sum(0)
        return inner_TBCHW, None, None


def replicate_time(x_TBCHW: Tensor, before: int, after: int) -> Tensor:
    """Repeat the first frame `before` times and the last one `after` times."""
    return x_TBCHW if before == after == 0 else _replicate(x_TBCHW, before, after)


def _replicate(x_TBCHW: Tensor, before: int, after: int) -> Tensor:
    out: Tensor = _ReplicateTime.apply(x_TBCHW, before, after)
    return out


class TemporalConv(nn.Module):
    """1D convolution over time with symmetric replicate padding; initialized as the identity.

    Stride 2 maps T to ceil(T / 2). `up` first doubles the frames by nearest neighbor.
    """

    def __init__(self, channels: int, kernel: int = 3, *, stride: int = 1, up: bool = False) -> None:
        super().__init__()
        if up and kernel != 3:
            raise ValueError(f"temporal_kernel must be 3 where frames are upsampled, got {kernel}")
        self.kernel, self.stride, self.up = kernel, stride, up
        self.weight = nn.Parameter(torch.empty(channels, channels, kernel))
        self.bias = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.dirac_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        T, B, C, H, W = x_TBCHW.shape
        if T == 1 and not self.up:  # every tap reads the same frame
            w_OI11 = self.weight.sum(2)[..., None, None]
            return unfold_time(F.conv2d(fold_time(x_TBCHW), w_OI11, self.bias), T)
        # Replicate padding copies the video. Without gradients, pad with zeros and correct edges in place.
        in_place = not torch.is_grad_enabled() and not torch.is_autocast_enabled(x_TBCHW.device.type)
        pad = 0 if in_place else self.kernel // 2
        x_TMC = replicate_time(x_TBCHW, pad, pad).permute(0, 1, 3, 4, 2).reshape(-1, B * H * W, C)
        x_1CTM = x_TMC[None].permute(0, 3, 1, 2)
        if self.up:  # twice the padding, which was upsampled too, and 1 of the transposed convolution
            w_IOk1 = upsample_kernel(self.weight, 2).transpose(0, 1)[..., None]
            y_1CTM = F.conv_transpose2d(x_1CTM, w_IOk1, self.bias, (2, 1), (2 * pad + 1, 0))
        else:
            zeros = (self.kernel // 2 - pad, 0)
            y_1CTM = F.conv2d(x_1CTM, self.weight[..., None], self.bias, (self.stride, 1), zeros)
        y_TMC = y_1CTM.permute(0, 2, 3, 1)[0]
        if in_place:
            self._repeat_edges(x_TMC, y_TMC)
        return y_TMC.reshape(-1, B, H, W, C).permute(0, 1, 4, 2, 3)

    def _repeat_edges(self, x_TMC: Tensor, y_TMC: Tensor) -> None:
        """Add the contribution of taps beyond the first and last frames, which read these frames again."""
        half, last = self.kernel // 2, len(x_TMC) - 1
        # Number of taps beyond the video for each output frame; upsampled ones reach half as far.
        before = {0: 1} if self.up else {i: half - i * self.stride for i in range(len(y_TMC))}
        after = {-1: 1} if self.up else {i: i * self.stride + half - last for i in range(len(y_TMC))}
        for i, count in before.items():
            if count > 0:
                y_TMC[i].addmm_(x_TMC[0], self.weight[:, :, :count].sum(2).T)
        for i, count in after.items():
            if count > 0:
                y_TMC[i].addmm_(x_TMC[-1], self.weight[:, :, -count:].sum(2).T)


class Conv3d(nn.Module):
    """Full 3D convolution, for the ablation: zero padding in space, replicate padding in time.

    Initialized like an inflated 2D convolution: only the taps of the center frame are not zero.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        temporal_kernel: int = 3,
        stride: tuple[int, int] = (1, 1),
        up: tuple[int, int] = (1, 1),
        zero: bool = False,
    ) -> None:
        super().__init__()
        self.stride, self.up, self.zero, self.kernel = stride, up, zero, temporal_kernel
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, temporal_kernel, 3, 3))
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)
        if not self.zero:
            center = torch.empty_like(self.weight[:, :, 0])
            nn.init.kaiming_uniform_(center, a=5**0.5)
            with torch.no_grad():
                self.weight[:, :, self.kernel // 2] = center

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
