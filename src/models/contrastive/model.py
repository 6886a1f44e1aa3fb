"""Contrastive audio-video-text model: three towers with features in one space.

Audio and video are compared in segments of the clip, so that a match needs the same events at the same times.
Texts are compared with the means over the segments.

Legend: B batch, T frames, C channels, H height, W width, L latent frames, K segments, D joint features.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.contrastive.config import ContrastiveConfig
from src.models.nn.layers import Linear, RMSNorm
from src.models.text.byte_encoder import ByteEncoder
from src.models.vision.frame_encoder import FrameEncoder, TemporalBlock

MAX_SCALE = 100.0  # of similarities, as in CLIP
PAIRS = (("audio", "video"), ("audio", "text"), ("video", "text"))


class ContrastiveModel(nn.Module):
    """Maps normalized latents of audio, frames of videos, and texts to unit vectors."""

    def __init__(self, config: ContrastiveConfig) -> None:
        super().__init__()
        self.config = config
        size, dim = config.hidden_size, config.joint_dim
        self.audio_in = Linear(config.latent_channels, size, bias=True)
        self.audio_blocks = nn.ModuleList(TemporalBlock(size) for _ in range(config.num_audio_blocks))
        self.audio_norm = RMSNorm(size)
        self.frames = FrameEncoder(config.video)
        self.video_norm = RMSNorm(config.video.hidden_size)
        self.text = ByteEncoder(config.text)
        # of each: features of segments, compared between audio and video, and features compared with texts
        self.audio_out = Linear(size, 2 * dim, bias=True)
        self.video_out = Linear(config.video.hidden_size, 2 * dim, bias=True)
        self.text_out = Linear(config.text.hidden_size, dim, bias=True)
        self.log_scale = nn.Parameter(torch.empty(len(PAIRS)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.constant_(self.log_scale, -math.log(self.config.initial_temperature))

    def encode_audio(self, latent_BCL: Tensor) -> tuple[Tensor, Tensor]:
        """Return features of segments [B, K * D] and of the clip [B, D], each a unit vector."""
        x_BLD = self.audio_in(latent_BCL.transpose(1, 2))
        for block in self.audio_blocks:
            x_BLD = block(x_BLD)
        return self._pool(self.audio_out(self.audio_norm(x_BLD)))

    def encode_video(self, frames_BTCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return features of segments [B, K * D] and of the clip [B, D] of frames in [-1, 1]."""
        return self._pool(self.video_out(self.video_norm(self.frames(frames_BTCHW))))

    def encode_text(self, texts: list[str]) -> Tensor:
        """Return features [B, D]."""
        context = self.text.encode(texts)
        mask_BL1 = context.mask_BL[..., None].to(context.tokens_BLD.dtype)
        mean_BD = (context.tokens_BLD * mask_BL1).sum(1) / mask_BL1.sum(1)
        return F.normalize(self.text_out(mean_BD).float(), dim=-1)

    def _pool(self, features_BLD: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features of all segments as one vector, and those of the clip."""
        segments_BDK = F.adaptive_avg_pool1d(features_BLD.float().transpose(1, 2), self.config.num_segments)
        timed_BDK, clip_BDK = segments_BDK.chunk(2, dim=1)
        timed = F.normalize(timed_BDK, dim=1).flatten(1) / math.sqrt(self.config.num_segments)
        return timed, F.normalize(clip_BDK.mean(2), dim=-1)

    def similarities(
        self, latent_BCL: Tensor, frames_BTCHW: Tensor, texts: list[str]
    ) -> dict[tuple[str, str], Tensor]:
        """Return cosines [B, B] by pair: row i compares the i-th of the first with each of the second."""
        timed_audio, audio = self.encode_audio(latent_BCL)
        timed_video, video = self.encode_video(frames_BTCHW)
        text = self.encode_text(texts)
        first_second = ((timed_audio, timed_video), (audio, text), (video, text))
        return {pair: first @ second.T for pair, (first, second) in zip(PAIRS, first_second, strict=True)}

    def scales(self) -> Tensor:
        """Return the factor of the cosines of each pair of media."""
        return self.log_scale.exp().clamp(max=MAX_SCALE)

    def shard_groups(self) -> list[nn.Module]:
        """Return the submodules to shard one by one, in order of use; the root shards the rest."""
        return [self.frames, self.text]
