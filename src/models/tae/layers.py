"""Memory layouts, spatial convolutions and norms of the temporal autoencoder; temporal.py mixes frames.

Legend: T frames, B batch, C channels, H height, W width; N = T * B.

Inside the model a video is x_TBCHW with memory order T, B, H, W, C. Folding time into the batch is then a
view in channels-last layout, without a copy, for the 2D layers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.tae.config import TAENorm


def to_time_first(x_BCTHW: Tensor) -> Tensor:
    """Convert to the inner layout: x_TBCHW with memory order T, B, H, W, C."""
    return x_BCTHW.permute(2, 0, 3, 4, 1).contiguous().permute(0, 1, 4, 2, 3)


def to_batch_first(x_TBCHW: Tensor) -> Tensor:
    """Convert to the outer layout: contiguous x_BCTHW."""
    return x_TBCHW.permute(1, 2, 0, 3, 4).contiguous()


def fold_time(x_TBCHW: Tensor) -> Tensor:
    """View as images x_NCHW in channels-last memory."""
    T, B, C, H, W = x_TBCHW.shape
    return x_TBCHW.permute(0, 1, 3, 4, 2).reshape(T * B, H, W, C).permute(0, 3, 1, 2)


def unfold_time(x_NCHW: Tensor, num_frames: int) -> Tensor:
    """Undo `fold_time`."""
    N, C, H, W = x_NCHW.shape
    x_NHWC = x_NCHW.permute(0, 2, 3, 1)
    return x_NHWC.reshape(num_frames, N // num_frames, H, W, C).permute(0, 1, 4, 2, 3)


class Conv2d(nn.Conv2d):
    """2D convolution of every frame; `zero` initializes it at zero."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, zero: bool = False
    ) -> None:
        self.zero = zero
        # Latent Diffusion pads strided convolutions on the far side only: `forward` does it.
        super().__init__(
            in_channels, out_channels, kernel, stride=stride, padding=0 if stride > 1 else kernel // 2
        )

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
    """Nearest-neighbor upsampling by 2, then a 3x3 convolution, computed at the low resolution.

    Both together are one transposed convolution of stride 2 with a 4x4 kernel, which does not materialize the
    upsampled image and needs 16 products instead of 36. The weights are those of a plain 3x3 convolution.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        w_IOHW = upsample_kernel(upsample_kernel(self.weight, 2), 3).transpose(0, 1)
        y_NCHW = F.conv_transpose2d(fold_time(x_TBCHW), w_IOHW, self.bias, stride=2, padding=1)
        return unfold_time(y_NCHW, len(x_TBCHW))


def upsample_kernel(w: Tensor, dim: int) -> Tensor:
    """Return the 4-tap transposed convolution equal to nearest upsampling by 2 and a 3-tap convolution."""
    a, b, c = w.unbind(dim)
    return torch.stack([c, b + c, a + b, a], dim)


class GroupNorm(nn.GroupNorm):
    """Group norm over single frames, so that a video of one frame equals an image."""

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        return unfold_time(super().forward(fold_time(x_TBCHW)), len(x_TBCHW))


class ChannelNorm(nn.Module):
    """Norm over the channels at every position: `rms`, or `layer`, which also subtracts the mean."""

    def __init__(self, channels: int, kind: TAENorm, eps: float = 1e-6) -> None:
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
            # Unlike layer norm, it has a fast path only where input and weight share a dtype.
            y_TBHWC = F.rms_norm(x_TBHWC, shape, self.weight.to(x_TBHWC.dtype), self.eps)
        return y_TBHWC.permute(0, 1, 4, 2, 3)


def silu_(x: Tensor) -> Tensor:
    """Apply SiLU, in place without gradients; x must not be used elsewhere."""
    return F.silu(x, inplace=not torch.is_grad_enabled())


def add_(out: Tensor, x: Tensor) -> Tensor:
    """Add x to `out`, in place without gradients and if dtypes agree; `out` must not be used elsewhere."""
    return out + x if torch.is_grad_enabled() or out.dtype != x.dtype else out.add_(x)


def build_norm(channels: int, kind: TAENorm, groups: int = 32) -> nn.Module:
    """Return the norm of a kind for a number of channels."""
    if kind == "group":
        while channels % groups:
            groups -= 1
        return GroupNorm(groups, channels, eps=1e-6)
    return ChannelNorm(channels, kind)
