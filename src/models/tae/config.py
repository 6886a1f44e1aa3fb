"""Configs of the temporal autoencoder; imports no torch. Defaults: Movie Gen, sec. 3.1.1."""

from dataclasses import dataclass
from math import prod
from typing import Literal

from src.core.fields import Config, opt

TAEStructure = Literal["2.5d", "3d", "frame"]
TAENorm = Literal["group", "rms", "layer"]


@dataclass(frozen=True, kw_only=True)
class TAEConfig(Config):
    """Architecture of a temporal autoencoder.

    The defaults follow the image autoencoder of Latent Diffusion in its 16-channel form (base width 128,
    multipliers 1-2-4-4, two residual blocks per level, attention in the middle), made 2.5D.
    `spatial_down` and `temporal_down` hold one factor (1 or 2) for each step between two levels.
    """

    in_channels: int = opt(3, "channels of the pixels", ge=1)
    latent_channels: int = opt(16, "channels of the latent (the paper: 16)", ge=1)
    channels: tuple[int, ...] = opt((128, 256, 512, 512), "channels at each level, finest level first", ge=1)
    decoder_channels: tuple[int, ...] | None = opt(
        None, "channels at each level of the decoder, finest first; null: as the encoder"
    )
    num_blocks: int = opt(2, "residual blocks at each level of the encoder", ge=1)
    num_finest_blocks: int | None = opt(
        None, "residual blocks at the encoder's finest level; null: as the other levels", ge=0
    )
    num_decoder_blocks: int | None = opt(
        None, "residual blocks at each level of the decoder; null: one more than the encoder", ge=1
    )
    spatial_down: tuple[int, ...] = opt(
        (2, 2, 2), "spatial factor of each step from a level to the next", choices=(1, 2)
    )
    temporal_down: tuple[int, ...] = opt(
        (2, 2, 2), "temporal factor of each step from a level to the next", choices=(1, 2)
    )
    patch: int = opt(1, "fold squares of this many pixels a side into channels before the first level", ge=1)
    structure: TAEStructure = opt(
        "2.5d", "1D temporal after 2D spatial layers (the paper's), full 3D, or every frame by itself"
    )
    temporal_kernel: int = opt(3, "kernel size of temporal convolutions, odd", ge=1)
    temporal_every: Literal["conv", "block"] = opt(
        "conv", "a temporal convolution after every spatial one (the paper's), or one per residual block"
    )
    norm: TAENorm = opt(
        "group", "group norm of every frame (the paper's), or a norm over the channels at every position"
    )
    num_norm_groups: int = opt(
        32, "groups of the group norm; narrow levels use the largest number that divides their channels", ge=1
    )
    attention: bool = opt(True, "spatial, then temporal attention at the coarsest level")
    num_mid_blocks: int = opt(1, "blocks of attention and residual block at the coarsest level", ge=1)
    num_attention_heads: int = opt(1, "attention heads at the coarsest level (Latent Diffusion: 1)", ge=1)
    shortcuts: bool = opt(
        False,
        "residual connections around down- and upsampling that fold space and time into channels; the "
        "number of channels changes there",
    )
    zero_residual: bool = opt(False, "initialize every residual block as the identity")
    initial_std: float = opt(
        1.0, "approximate standard deviation of the posterior at initialization; small learns sooner", gt=0
    )
    checkpoint: bool = opt(False, "activation checkpointing of every level, to save memory")

    def __post_init__(self) -> None:
        super().__post_init__()
        levels = len(self.channels)
        if not levels:
            raise ValueError("channels must name at least one level, got ()")
        if self.decoder_channels is not None and len(self.decoder_channels) != levels:
            raise ValueError(
                f"decoder_channels must have {levels} levels like channels={self.channels}, "
                f"got {self.decoder_channels}"
            )
        for name in ("spatial_down", "temporal_down"):
            if len(getattr(self, name)) != levels - 1:
                raise ValueError(
                    f"{name} must have {levels - 1} factors for channels={self.channels}, "
                    f"got {getattr(self, name)}"
                )
        if self.structure == "frame" and self.temporal_factor != 1:
            raise ValueError(f"temporal_down must be all 1 with structure=frame, got {self.temporal_down}")
        if self.temporal_kernel % 2 == 0:
            raise ValueError(f"temporal_kernel must be odd, got {self.temporal_kernel}")
        for channels in (self.channels, self.resolved_decoder_channels):
            if self.attention and channels[-1] % self.num_attention_heads:
                raise ValueError(
                    f"num_attention_heads must divide the channels of the coarsest level, {channels[-1]}, "
                    f"got {self.num_attention_heads}"
                )
            if self.shortcuts:
                self._check_shortcuts(channels)

    def _check_shortcuts(self, channels: tuple[int, ...]) -> None:
        for fine, coarse, s, t in zip(
            channels, channels[1:], self.spatial_down, self.temporal_down, strict=False
        ):
            folded = fine * s * s * t
            if folded % coarse and coarse % folded:
                raise ValueError(
                    f"shortcuts need channels that divide each other: {coarse} and {fine} x {s * s * t} "
                    f"do not (channels={channels})"
                )

    @property
    def resolved_decoder_channels(self) -> tuple[int, ...]:
        """Channels of the decoder, finest level first."""
        return self.channels if self.decoder_channels is None else self.decoder_channels

    @property
    def resolved_encoder_blocks(self) -> tuple[int, ...]:
        """Number of residual blocks at each level of the encoder, finest level first."""
        finest = self.num_blocks if self.num_finest_blocks is None else self.num_finest_blocks
        return (finest, *[self.num_blocks] * (len(self.channels) - 1))

    @property
    def resolved_decoder_blocks(self) -> int:
        """Number of residual blocks at each level of the decoder."""
        return self.num_blocks + 1 if self.num_decoder_blocks is None else self.num_decoder_blocks

    @property
    def spatial_factor(self) -> int:
        """Pixels per latent position, along height and along width."""
        return self.patch * prod(self.spatial_down)

    @property
    def temporal_factor(self) -> int:
        """Frames per latent frame."""
        return prod(self.temporal_down)

    def num_latent_frames(self, num_frames: int) -> int:
        """Return the number of latent frames of a clip, ceil(num_frames / temporal_factor)."""
        return -(-num_frames // self.temporal_factor)


@dataclass(frozen=True, kw_only=True)
class TilingConfig(Config):
    """Tile sizes in frames and pixels. The temporal defaults are the paper's (Movie Gen, sec. 3.1.1)."""

    frames: int = opt(32, "frames per tile; the encoder's tiles do not overlap", ge=1)
    overlap: int = opt(16, "frames shared by adjacent tiles of the decoder", ge=0)
    size: int = opt(0, "side of a spatial tile in pixels, for large frames; 0: no spatial tiling", ge=0)
    size_overlap: int = opt(64, "pixels shared by adjacent spatial tiles", ge=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, overlap_name in (("frames", "overlap"), ("size", "size_overlap")):
            tile, overlap = getattr(self, name), getattr(self, overlap_name)
            if tile and overlap >= tile:
                raise ValueError(f"{overlap_name} must be below {name}={tile}, got {overlap}")

    def check(self, model: TAEConfig) -> None:
        """Raise ValueError, naming the field, where a tile is not a multiple of the model's factors."""
        for name, factor in (
            ("frames", model.temporal_factor),
            ("overlap", model.temporal_factor),
            ("size", model.spatial_factor),
            ("size_overlap", model.spatial_factor if self.size else 1),
        ):
            if getattr(self, name) % factor:
                raise ValueError(f"{name} must be a multiple of {factor}, got {getattr(self, name)}")
