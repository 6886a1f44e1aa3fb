"""Layouts, spatial convolutions and norms of the temporal autoencoder; temporal.py holds what mixes frames.

Legend: T frames, B batch, C channels, H height, W width; N = T * B.

Inside the model a film is x_TBCHW whose memory is ordered T, B, H, W, C. Folding time into the batch is then
a free view in channels-last layout for the 2D layers.
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

    The two together are one transposed convolution of stride 2 with 4x4 taps, which never makes the doubled
    picture and does 16 products where there were 36. The weights stay those of a plain 3x3 convolution.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        w_IOHW = doubling_taps(doubling_taps(self.weight, 2), 3).transpose(0, 1)
        y_NCHW = F.conv_transpose2d(fold_time(x_TBCHW), w_IOHW, self.bias, stride=2, padding=1)
        return unfold_time(y_NCHW, len(x_TBCHW))


def doubling_taps(w: Tensor, dim: int) -> Tensor:
    """Four taps of the transposed convolution that equals nearest doubling and a 3-tap convolution."""
    a, b, c = w.unbind(dim)
    return torch.stack([c, b + c, a + b, a], dim)


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
            # Unlike layer norm, it has a fast path only where input and weight share a type.
            y_TBHWC = F.rms_norm(x_TBHWC, shape, self.weight.to(x_TBHWC.dtype), self.eps)
        return y_TBHWC.permute(0, 1, 4, 2, 3)


def silu(x: Tensor) -> Tensor:
    """SiLU of a tensor that nobody else reads: in place where no gradient is asked for."""
    return F.silu(x, inplace=not torch.is_grad_enabled())


def add_to(new: Tensor, x: Tensor) -> Tensor:
    """Sum, into `new`, which nobody else reads, where no gradient is asked for and the types agree."""
    return new + x if torch.is_grad_enabled() or new.dtype != x.dtype else new.add_(x)


def build_norm(channels: int, kind: Literal["group", "rms", "layer"], groups: int = 32) -> nn.Module:
    """The norm that a config names, for one width."""
    if kind == "group":
        while channels % groups:
            groups -= 1
        return GroupNorm(groups, channels, eps=1e-6)
    return ChannelNorm(channels, kind)
