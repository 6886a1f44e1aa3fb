"""What a temporal autoencoder is built from. The defaults are the paper's structure (spec section 1)."""

from dataclasses import dataclass
from math import prod
from typing import Literal

from src.core.fields import opt


@dataclass(frozen=True, kw_only=True)
class TAEConfig:
    """Structure of a temporal autoencoder.

    The defaults follow the image autoencoder of Latent Diffusion in its 16-channel form (base width 128,
    multipliers 1-2-4-4, two residual blocks a level, attention in the middle), made 2.5D.
    `spatial_down` and `temporal_down` hold one factor (1 or 2) for each step between two levels.
    """

    in_channels: int = opt(3, "channels of the pixels")
    latent_channels: int = opt(16, "channels of the latent; the paper settles on 16")
    widths: tuple[int, ...] = opt((128, 256, 512, 512), "channels at each level, finest level first")
    decoder_widths: tuple[int, ...] | None = opt(
        None, "the decoder's channels, finest first; none: as widths"
    )
    blocks: int = opt(2, "residual blocks at each level of the encoder")
    finest_blocks: int | None = opt(None, "residual blocks at the encoder's finest level; none: as blocks")
    decoder_blocks: int | None = opt(None, "residual blocks at each level of the decoder; none: blocks + 1")
    spatial_down: tuple[int, ...] = opt((2, 2, 2), "spatial factor of each step from a level to the next")
    temporal_down: tuple[int, ...] = opt((2, 2, 2), "temporal factor of each step from a level to the next")
    patch: int = opt(1, "fold squares of this many pixels a side into channels before the first level")
    structure: Literal["2.5d", "3d", "frame"] = opt(
        "2.5d", "1D temporal after 2D spatial layers (the paper's), full 3D, or every frame by itself"
    )
    temporal_kernel: int = opt(3, "taps of a temporal convolution, odd")
    temporal_every: Literal["conv", "block"] = opt(
        "conv", "a temporal convolution after every spatial one (the paper's), or one a residual block"
    )
    norm: Literal["group", "rms", "layer"] = opt(
        "group", "group norm of every frame (the paper's), or a norm over the channels of every position"
    )
    norm_groups: int = opt(32, "groups of the group norm; narrow levels use as many as divide their width")
    attention: bool = opt(True, "spatial then temporal attention at the coarsest level")
    middle_rounds: int = opt(1, "rounds of attention and residual block at the coarsest level")
    attention_heads: int = opt(1, "heads of that attention; 1 is Latent Diffusion's")
    shortcuts: bool = opt(
        False,
        "carry values past down- and upsampling by folding space and time into channels; widths change there",
    )
    zero_residual: bool = opt(False, "start every residual block as the identity")
    initial_std: float = opt(
        1.0, "about the posterior's standard deviation before training; small learns sooner"
    )
    checkpoint: bool = opt(False, "recompute the levels in the backward pass to save memory")

    def __post_init__(self) -> None:
        levels = len(self.widths)
        if not levels or min(self.widths) < 1:
            raise ValueError(f"widths: one positive width a level is needed, not {self.widths}")
        if self.decoder_widths is not None and len(self.decoder_widths) != levels:
            raise ValueError(
                f"decoder_widths: {self.decoder_widths} needs {levels} levels like widths={self.widths}"
            )
        for name in ("spatial_down", "temporal_down"):
            factors = getattr(self, name)
            if len(factors) != levels - 1 or any(f not in (1, 2) for f in factors):
                raise ValueError(
                    f"{name}: {factors} must be {levels - 1} factors of 1 or 2 for widths={self.widths}"
                )
        if self.structure == "frame" and self.temporal_factor != 1:
            raise ValueError(f"temporal_down: {self.temporal_down} must be all 1 with structure=frame")
        if self.temporal_kernel % 2 == 0 or self.temporal_kernel < 1:
            raise ValueError(f"temporal_kernel: {self.temporal_kernel} must be odd")
        if not self.initial_std > 0:
            raise ValueError(f"initial_std: {self.initial_std} must be positive")
        for name in (
            "in_channels",
            "latent_channels",
            "blocks",
            "patch",
            "norm_groups",
            "attention_heads",
            "middle_rounds",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} must be at least 1")
        if min(self.blocks_encoder) < 0 or self.blocks_decoder < 1:
            raise ValueError(
                f"finest_blocks: {self.finest_blocks} and decoder_blocks: {self.decoder_blocks} are too few"
            )
        for widths in (self.widths, self.widths_decoder):
            if self.attention and widths[-1] % self.attention_heads:
                raise ValueError(
                    f"attention_heads: {self.attention_heads} does not divide the width {widths[-1]}"
                )
            if self.shortcuts:
                self._check_shortcuts(widths)

    def _check_shortcuts(self, widths: tuple[int, ...]) -> None:
        for fine, coarse, s, t in zip(
            widths, widths[1:], self.spatial_down, self.temporal_down, strict=False
        ):
            folded = fine * s * s * t
            if folded % coarse and coarse % folded:
                raise ValueError(
                    f"shortcuts: neither of width {coarse} and {fine} x {s * s * t} divides the other "
                    f"(widths={widths})"
                )

    @property
    def widths_decoder(self) -> tuple[int, ...]:
        """The decoder's widths, finest level first."""
        return self.widths if self.decoder_widths is None else self.decoder_widths

    @property
    def blocks_encoder(self) -> tuple[int, ...]:
        """Residual blocks at each level of the encoder, finest level first."""
        finest = self.blocks if self.finest_blocks is None else self.finest_blocks
        return (finest, *[self.blocks] * (len(self.widths) - 1))

    @property
    def blocks_decoder(self) -> int:
        """Residual blocks at each level of the decoder."""
        return self.blocks + 1 if self.decoder_blocks is None else self.decoder_blocks

    @property
    def spatial_factor(self) -> int:
        """Pixels a side for one latent position."""
        return self.patch * prod(self.spatial_down)

    @property
    def temporal_factor(self) -> int:
        """Frames for one latent frame."""
        return prod(self.temporal_down)

    def latent_frames(self, num_frames: int) -> int:
        """Latent frames of a clip: ceil(num_frames / temporal factor)."""
        return -(-num_frames // self.temporal_factor)
