"""Layers of the codec: weight-normalized convolutions, Snake, reflection padding.

Legend: B batch, C channels, S samples or frames.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-9  # of Snake, as in DAC


class WeightNormConv(nn.Module):
    """Base of convolutions whose weight is g * v / ||v||, with one norm for each index of the first axis.

    Parameters are `weight_g`, `weight_v` and `bias`, the names of published checkpoints.

    Args:
        shape: of the weight.
        init_std: standard deviation of v at initialization; None: uniform as torch's own convolutions.
    """

    def __init__(self, shape: tuple[int, ...], out_channels: int, init_std: float | None = 0.02) -> None:
        super().__init__()
        self.init_std = init_std
        self.weight_g = nn.Parameter(torch.empty(shape[0], *(1 for _ in shape[1:])))
        self.weight_v = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.init_std is None:
            nn.init.kaiming_uniform_(self.weight_v, a=math.sqrt(5))
        else:
            nn.init.trunc_normal_(self.weight_v, std=self.init_std)
        with torch.no_grad():
            self.weight_g.copy_(torch.norm_except_dim(self.weight_v, 2, 0))
        nn.init.zeros_(self.bias)

    def weight(self) -> Tensor:
        """Return g * v / ||v||."""
        return torch._weight_norm(self.weight_v, self.weight_g, 0)


class Conv1d(WeightNormConv):
    """Convolution over x_BCS with zero padding; stride 1 keeps the length, stride s divides it by s."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__((out_channels, in_channels, kernel), out_channels)
        self.stride, self.dilation = stride, dilation
        self.padding = -(-stride // 2) if stride > 1 else (kernel - 1) // 2 * dilation

    def forward(self, x_BCS: Tensor) -> Tensor:
        return F.conv1d(x_BCS, self.weight(), self.bias, self.stride, self.padding, self.dilation)


class ConvTranspose1d(WeightNormConv):
    """Transposed convolution of kernel 2 * stride, which multiplies the length by the stride."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__((in_channels, out_channels, 2 * stride), out_channels, init_std=None)
        self.stride = stride

    def forward(self, x_BCS: Tensor) -> Tensor:
        # kernel 2s and padding ceil(s/2); an odd stride needs one sample more to give s * S
        s = self.stride
        return F.conv_transpose1d(x_BCS, self.weight(), self.bias, s, -(-s // 2), s % 2)


class Conv2d(WeightNormConv):
    """2D convolution of the discriminators, padded to keep the size at stride 1."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
    ) -> None:
        super().__init__((out_channels, in_channels, *kernel), out_channels, init_std=None)
        self.stride, self.padding = stride, (kernel[0] // 2, kernel[1] // 2)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.conv2d(x_BCHW, self.weight(), self.bias, self.stride, self.padding)


class Snake(nn.Module):
    """x + sin(alpha x)^2 / alpha with one learned alpha per channel: a bias towards periodic signals."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.empty(1, channels, 1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.ones_(self.alpha)

    def forward(self, x_BCS: Tensor) -> Tensor:
        alpha = self.alpha.to(x_BCS.dtype)
        if torch.is_grad_enabled():
            out: Tensor = _Snake.apply(x_BCS, alpha)
            return out
        return (alpha * x_BCS).sin_().square_().mul_((alpha + EPS).reciprocal()).add_(x_BCS)


class _Snake(torch.autograd.Function):
    """Snake that keeps its input and one more tensor for the backward pass; autograd would keep three."""

    @staticmethod
    def forward(ctx: Any, x_BCS: Tensor, alpha_1C1: Tensor) -> Tensor:
        sin_BCS = (alpha_1C1 * x_BCS).sin_()
        ctx.save_for_backward(x_BCS, alpha_1C1, sin_BCS)
        return torch.addcmul(x_BCS, sin_BCS.square(), (alpha_1C1 + EPS).reciprocal())

    @staticmethod
    def backward(ctx: Any, gradient_BCS: Tensor) -> tuple[Tensor, Tensor]:
        x_BCS, alpha_1C1, sin_BCS = ctx.saved_tensors
        inverse = (alpha_1C1 + EPS).reciprocal()
        # d sin^2(ax) / d(ax) = 2 sin(ax) cos(ax), times the gradient and 1 / a
        slope_BCS = (alpha_1C1 * x_BCS).cos_().mul_(sin_BCS).mul_(gradient_BCS).mul_(2 * inverse)
        alpha_gradient = (slope_BCS * x_BCS).sum((0, 2), keepdim=True)
        squares_BCS = sin_BCS.square().mul_(gradient_BCS)
        alpha_gradient -= squares_BCS.sum((0, 2), keepdim=True) * inverse.square()
        return slope_BCS.mul_(alpha_1C1).add_(gradient_BCS), alpha_gradient


def reflect_pad(x_BCS: Tensor, multiple: int) -> Tensor:
    """Pad the end by reflection to a multiple, back and forth where the signal is shorter than that."""
    num, padding = x_BCS.shape[-1], -x_BCS.shape[-1] % multiple
    if not padding:
        return x_BCS
    period = max(2 * (num - 1), 1)
    index = torch.arange(num, num + padding, device=x_BCS.device) % period
    return torch.cat([x_BCS, x_BCS[..., torch.minimum(index, period - index) % num]], -1)
