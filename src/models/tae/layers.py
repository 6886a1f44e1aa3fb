"""Convolutions and norms of the temporal autoencoder.

Legend: T frames, B batch, C channels, H height, W width; N = T * B.

Inside the model a film is x_TBCHW whose memory is ordered T, B, H, W, C. Folding time into the batch is then
a free view in channels-last layout for the 2D layers, and a temporal convolution is a convolution with a
(k, 1) kernel over the "picture" of T rows and B*H*W columns: the fastest of seven ways that were measured.
"""

from typing import Any, Literal

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


class _Replicate(torch.autograd.Function):
    """Slices' own backward makes a film of zeros for each; this one adds two frames in place."""

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
    """Repeat the first and the last frame."""
    return x_TBCHW if before == after == 0 else _Replicate.apply(x_TBCHW, before, after)


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
        # Padding the film copies it. Without gradients zeros stand in, and the edges are put right in place.
        in_place = not torch.is_grad_enabled() and not torch.is_autocast_enabled(x_TBCHW.device.type)
        pad = 0 if in_place else self.kernel // 2
        x_TMC = replicate_time(x_TBCHW, pad, pad).permute(0, 1, 3, 4, 2).reshape(-1, B * H * W, C)
        x_1CTM = x_TMC[None].permute(0, 3, 1, 2)
        if self.up:  # the padding of 1 doubled, and 1 that belongs to the transposed convolution
            w_IOk1 = doubling_taps(self.weight, 2).transpose(0, 1)[..., None]
            y_1CTM = F.conv_transpose2d(x_1CTM, w_IOk1, self.bias, (2, 1), (2 * pad + 1, 0))
        else:
            zeros = (self.kernel // 2 - pad, 0)
            y_1CTM = F.conv2d(x_1CTM, self.weight[..., None], self.bias, (self.stride, 1), zeros)
        y_TMC = y_1CTM.permute(0, 2, 3, 1)[0]
        if in_place:
            self._repeat_edges(x_TMC, y_TMC)
        return y_TMC.reshape(-1, B, H, W, C).permute(0, 1, 4, 2, 3)

    def _repeat_edges(self, x_TMC: Tensor, y_TMC: Tensor) -> None:
        """Add what the taps beyond the first and the last frame see: these frames again."""
        half, last = self.kernel // 2, len(x_TMC) - 1
        # As many taps as look beyond the film, for each frame that comes out; doubled ones look half as far.
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
