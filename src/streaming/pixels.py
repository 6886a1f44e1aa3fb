"""Conversions between uint8 pixels and what models see, float32 in [-1, 1]."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def from_uint8(pixels: Tensor) -> Tensor:
    """Return uint8 pixels of any shape as float32 in [-1, 1]; a copy."""
    return pixels.to(torch.float32, copy=True).div_(127.5).sub_(1.0)


def to_uint8(values: Tensor) -> Tensor:
    """Return values of any shape, clipped to [-1, 1], as uint8 pixels."""
    return ((values.float().clamp(-1, 1) + 1) * 127.5).round().byte()


def to_frames(video_BCTHW: Tensor) -> NDArray[np.uint8]:
    """Return a video in [-1, 1] as uint8 frames [B, T, H, W, C], as files and encoders take them."""
    return np.ascontiguousarray(to_uint8(video_BCTHW).permute(0, 2, 3, 4, 1).cpu().numpy())
