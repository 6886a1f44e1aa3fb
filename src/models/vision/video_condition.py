"""Video features at the times of audio latents, projected, normalized and gated (Movie Gen, sec. 6.1).

Legend: B batch, T frames, C channels, H height, W width, N latent frames of the audio, D features.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from src.models.nn.layers import NORM_EPS, Linear
from src.models.vision.config import VideoConditionConfig
from src.models.vision.frame_encoder import FrameEncoder


@dataclass(frozen=True)
class VideoClips:
    """Frames in [-1, 1] or features of a batch of videos, and the time at which each frame is shown.

    Features are those of an image tower, or what the frame encoder made of the frames before.

    `times_BT` are seconds from the beginning of the audio, increasing; frames may begin before it or end
    after it.
    """

    frames_BTCHW: Tensor | None
    features_BTD: Tensor | None
    times_BT: Tensor

    def __len__(self) -> int:
        return len(self.times_BT)

    def rolled(self) -> "VideoClips":
        """Return the videos in another order: each sample gets that of the sample before."""
        frames, features = self.frames_BTCHW, self.features_BTD
        return VideoClips(
            None if frames is None else frames.roll(1, 0),
            None if features is None else features.roll(1, 0),
            self.times_BT.roll(1, 0),
        )


class Gate(nn.Module):
    """tanh of a learned number."""

    def __init__(self, initial: float) -> None:
        super().__init__()
        self.initial = initial
        self.value = nn.Parameter(torch.empty(1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.constant_(self.value, self.initial)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.value.tanh()


class VideoCondition(nn.Module):
    """Maps videos to features for each latent frame of their audio, in the transformer's dimension.

    Args:
        latent_channels: of the audio; above 0 a linear layer predicts the latent from the features, whose
            error can be a second loss (`forward` returns it). 0: there is none.
    """

    def __init__(self, config: VideoConditionConfig, dim: int, latent_channels: int = 0) -> None:
        super().__init__()
        self.config = config
        self.encoder = FrameEncoder(config) if config.source == "frames" else None
        in_dim = config.hidden_size if config.source == "frames" else config.feature_dim
        self.projection = Linear(in_dim, dim, bias=True)
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.gate = Gate(config.initial_gate)
        self.latent_out = Linear(dim, latent_channels, bias=True) if latent_channels else None

    def forward(
        self, clips: VideoClips, num_latents: int, latent_rate: float
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return gated features [B, N, D], which latents have a video [B, N], and the predicted latent [B, C,
        N].

        Where a latent lies before or after the video its features are zeros.

        Args:
            latent_rate: latent frames per second.
        """
        features_BTD = clips.features_BTD
        if features_BTD is None:
            assert self.encoder is not None
            assert clips.frames_BTCHW is not None
            features_BTD = self.encoder(clips.frames_BTCHW)
        centers_N = (torch.arange(num_latents, device=clips.times_BT.device) + 0.5) / latent_rate
        x_BND, shown_BN = resample(self.projection(features_BTD), clips.times_BT, centers_N)
        x_BND = self.norm(x_BND.float())
        latent_BCN = None if self.latent_out is None else self.latent_out(x_BND).transpose(1, 2)
        return self.gate(x_BND) * shown_BN[..., None], shown_BN, latent_BCN

    def shard_groups(self) -> list[nn.Module]:
        """Return no groups: nothing is large enough to be sharded by itself."""
        return []


def resample(x_BTD: Tensor, times_BT: Tensor, at_N: Tensor) -> tuple[Tensor, Tensor]:
    """Interpolate features linearly in time; return [B, N, D], and bool [B, N]: True where the video is
    shown.

    A video is shown from its first frame until the last one has been shown as long as the frames before it.
    """
    num_frames = times_BT.shape[1]
    at_BN = at_N.to(times_BT.dtype).expand(len(times_BT), -1).contiguous()
    if num_frames == 1:
        return x_BTD.expand(-1, at_BN.shape[1], -1), torch.ones_like(at_BN, dtype=torch.bool)
    gap_B1 = (times_BT[:, -1:] - times_BT[:, :1]) / (num_frames - 1)
    shown_BN = (at_BN >= times_BT[:, :1]) & (at_BN < times_BT[:, -1:] + gap_B1)
    after_BN = torch.searchsorted(times_BT.contiguous(), at_BN, right=True).clamp(1, num_frames - 1)
    before_t, after_t = times_BT.gather(1, after_BN - 1), times_BT.gather(1, after_BN)
    weight_BN1 = ((at_BN - before_t) / (after_t - before_t)).clamp(0, 1)[..., None].to(x_BTD.dtype)
    index_BND = after_BN[..., None].expand(-1, -1, x_BTD.shape[2])
    before_BND, after_BND = x_BTD.gather(1, index_BND - 1), x_BTD.gather(1, index_BND)
    return torch.lerp(before_BND, after_BND, weight_BN1), shown_BN
