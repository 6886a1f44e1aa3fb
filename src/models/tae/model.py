"""The temporal autoencoder (TAE): videos and images to latents and back (Movie Gen, sec. 3.1.1).

Legend: B batch, C channels, T frames, H height, W width.
"""

from dataclasses import dataclass
from math import ceil, floor

from torch import Tensor, nn

from src.models.tae.config import TAEConfig
from src.models.tae.decoder import Decoder
from src.models.tae.encoder import Encoder
from src.models.tae.layers import to_batch_first, to_time_first
from src.models.tae.posterior import Posterior


@dataclass(frozen=True)
class Reconstruction:
    """Output of one pass: the reconstructed video, the latent it was decoded from, and the posterior."""

    video_BCTHW: Tensor
    latent_BCTHW: Tensor
    posterior: Posterior


class TAE(nn.Module):
    """Temporal autoencoder, stateless between calls; an image is a video of one frame.

    Shapes, with the paper's factors (8, 8, 8): video [B, 3, T', H', W'] in [-1, 1], any T' >= 1, H' and W'
    multiples of 8; latent [B, 16, ceil(T' / 8), H' / 8, W' / 8].
    """

    def __init__(self, config: TAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def encode(self, video_BCTHW: Tensor) -> Posterior:
        """Return the posterior of a video's latent.

        Raises:
            ValueError: wrong number of dimensions or channels, an empty video, or a size that is not a
                multiple of the spatial factor.
        """
        self._check_video(video_BCTHW)
        moments_BCTHW = to_batch_first(self.encoder(to_time_first(video_BCTHW)))
        return Posterior.from_moments(moments_BCTHW, self.config.initial_std)

    def decode(self, latent_BCTHW: Tensor, num_frames: int | None = None) -> Tensor:
        """Decode a video of about [-1, 1]; of its last latent frame, frames beyond `num_frames` are dropped.

        Raises:
            ValueError: `num_frames` needs another number of latent frames, or the channels do not match.
        """
        max_frames = latent_BCTHW.shape[2] * self.config.temporal_factor
        num_frames = max_frames if num_frames is None else num_frames
        if self.config.num_latent_frames(num_frames) != latent_BCTHW.shape[2] or num_frames < 1:
            min_frames = max_frames - self.config.temporal_factor + 1
            raise ValueError(
                f"num_frames must be {min_frames} to {max_frames} for {latent_BCTHW.shape[2]} latent frames, "
                f"got {num_frames}"
            )
        if latent_BCTHW.shape[1] != self.config.latent_channels:
            raise ValueError(
                f"latent must have {self.config.latent_channels} channels (latent_channels), "
                f"got {latent_BCTHW.shape[1]}"
            )
        return to_batch_first(self.decoder(to_time_first(latent_BCTHW))[:num_frames])

    def forward(self, video_BCTHW: Tensor, noise_BCTHW: Tensor | None = None) -> Reconstruction:
        """Encode, sample the posterior with the noise (without noise: its mean), decode."""
        posterior = self.encode(video_BCTHW)
        latent = posterior.mode() if noise_BCTHW is None else posterior.sample(noise_BCTHW)
        return Reconstruction(self.decode(latent, video_BCTHW.shape[2]), latent, posterior)

    def latent_shape(self, num_frames: int, height: int, width: int) -> tuple[int, int, int, int]:
        """Return (C, T, H, W) of the latent of a video."""
        factor = self.config.spatial_factor
        return (
            self.config.latent_channels,
            self.config.num_latent_frames(num_frames),
            height // factor,
            width // factor,
        )

    def shard_groups(self) -> list[nn.Module]:
        """Return the submodules to shard one by one, inner ones first; the root shards the rest."""
        groups: list[nn.Module] = []
        for half in (self.encoder, self.decoder):
            groups += [*half.levels, half.mid, half]
        return [g for g in groups if any(True for _ in g.parameters())]

    def _check_video(self, video_BCTHW: Tensor) -> None:
        shape, channels, f = tuple(video_BCTHW.shape), self.config.in_channels, self.config.spatial_factor
        if len(shape) != 5 or shape[1] != channels:
            raise ValueError(f"video must be [batch, {channels}, frames, H, W], got shape {shape}")
        if 0 in shape:
            raise ValueError(f"empty video: shape {shape}")
        if shape[3] % f or shape[4] % f:
            below, above = (
                "x".join(str(max(round_(n / f), 1) * f) for n in shape[3:]) for round_ in (floor, ceil)
            )
            raise ValueError(
                f"video size must be a multiple of {f}, got {shape[3]}x{shape[4]}; {below} or {above} works"
            )
