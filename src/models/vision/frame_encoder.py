"""A small encoder of video frames, trained with the model that reads it: no download.

It stands in for a pretrained image tower where there is none. The TAE of the video model does not serve: at
16 frames per second it has two latents a second, and audio needs to know the frame of an impact.

Legend: B batch, T frames, C channels, H height, W width, D features.
"""

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.nn.layers import Linear, RMSNorm
from src.models.vision.config import VideoConditionConfig

PATCH, STRIDE = 8, 4  # of the first convolution, in pixels
KERNEL = 3


class FrameEncoder(nn.Module):
    """Maps frames and their differences to features: two convolutions of images, then some over time."""

    def __init__(self, config: VideoConditionConfig) -> None:
        super().__init__()
        first, second, dim = config.channels, 2 * config.channels, config.hidden_size
        # 3 channels of the frame and 3 of its difference to the one before
        self.conv_in = nn.Conv2d(6, first, PATCH, STRIDE, padding=PATCH // 4)
        self.conv = nn.Conv2d(first, second, KERNEL, 2, padding=KERNEL // 2)
        positions = (config.height // (2 * STRIDE)) * (config.width // (2 * STRIDE))
        self.linear = Linear(second * positions, dim, bias=True)
        self.temporal = nn.ModuleList(TemporalBlock(dim) for _ in range(config.num_temporal_blocks))

    def forward(self, frames_BTCHW: Tensor) -> Tensor:
        """Return features [B, T, D] of frames in [-1, 1]; the first frame has no difference."""
        first_BTCHW = torch.zeros_like(frames_BTCHW[:, :1])
        change_BTCHW = torch.cat([first_BTCHW, frames_BTCHW[:, 1:] - frames_BTCHW[:, :-1]], 1)
        x = torch.cat([frames_BTCHW, change_BTCHW], 2).flatten(0, 1)
        x = F.silu(self.conv(F.silu(self.conv_in(x))))
        x_BTD: Tensor = self.linear(x.flatten(1)).unflatten(0, frames_BTCHW.shape[:2])
        for block in self.temporal:
            x_BTD = block(x_BTD)
        return x_BTD

    def encode_stream(self, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the features [B, T, D] of frames that arrive in chunks [B, T, C, H, W] of any lengths.

        They equal those of one pass: each chunk is extended by the frames that its features depend on.
        """
        reach = len(self.temporal) * (KERNEL // 2)
        held: Tensor | None = None
        left = 0  # frames held that were returned before
        for chunk in chunks:
            held = chunk if held is None else torch.cat([held, chunk], 1)
            if held.shape[1] > left + reach:
                stop = held.shape[1] - reach
                yield self(held)[:, left:stop]
                keep = min(reach + 1, stop)  # and one more for the difference of the first
                left, held = keep, held[:, stop - keep :].clone()
        if held is not None and held.shape[1] > left:
            yield self(held)[:, left:]


class TemporalBlock(nn.Module):
    """Pre-norm convolution over time with a residual connection."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = RMSNorm(dim)
        self.conv = nn.Conv1d(dim, dim, KERNEL, padding=KERNEL // 2)

    def forward(self, x_BTD: Tensor) -> Tensor:
        out: Tensor = x_BTD + F.silu(self.conv(self.norm(x_BTD).transpose(1, 2))).transpose(1, 2)
        return out
