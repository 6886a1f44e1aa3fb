"""Resizing and cropping (or padding) of frames to the size of their bucket; part of what a record is.

Frames are resized as uint8 with antialiasing before anything becomes float (18 times faster, and
what a viewer would see), then cropped to the bucket around the center, or padded with black.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Framing:
    """Resize and crop (or pad) of every frame of a clip; `facts` goes into the record's source."""

    height: int
    width: int
    resized_height: int
    resized_width: int
    fit: Literal["crop", "pad"]

    @property
    def facts(self) -> dict[str, int | str]:
        """Pixels cut off or added at the top and left of the resized frame; the rest is opposite."""
        top, left = (self.resized_height - self.height) // 2, (self.resized_width - self.width) // 2
        return {
            "fit": self.fit,
            "resized": f"{self.resized_height}x{self.resized_width}",
            "cut_top": max(top, 0),
            "cut_left": max(left, 0),
            "pad_top": max(-top, 0),
            "pad_left": max(-left, 0),
        }

    def apply(self, frames_THWC: np.ndarray) -> Tensor:
        """Convert uint8 [T, H, W, 3] to uint8 [T, 3, height, width]."""
        x = torch.from_numpy(frames_THWC).permute(0, 3, 1, 2)
        if x.shape[-2:] != (self.resized_height, self.resized_width):
            size = (self.resized_height, self.resized_width)
            x = torch.nn.functional.interpolate(x, size=size, mode="bicubic", antialias=True)
        top, left = (self.resized_height - self.height) // 2, (self.resized_width - self.width) // 2
        if self.fit == "crop":
            return x[:, :, top : top + self.height, left : left + self.width].contiguous()
        out = torch.zeros(len(x), 3, self.height, self.width, dtype=torch.uint8)
        out[:, :, -top : -top + self.resized_height, -left : -left + self.resized_width] = x
        return out
