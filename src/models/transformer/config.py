"""What can be chosen about the media transformer."""

from dataclasses import dataclass
from typing import Literal

from src.core.fields import opt
from src.models.nn.attention import Backend


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Shape of a `MediaTransformer`. The defaults are the paper's block at a small width."""

    width: int = opt(256, "model dimension (the paper: 6144)")
    layers: int = opt(6, "number of blocks (the paper: 48)")
    heads: int = opt(4, "attention heads; width / heads is the head dimension (the paper: 48 heads of 128)")
    ffn: int = opt(704, "hidden dimension of the feed-forward network, a multiple of 8 (the paper: 16384)")
    latent_channels: int = opt(16, "channels of the latent that flows in and of the velocity that flows out")
    known_channels: int = opt(
        0, "further channels that only flow in: what is known of the film, such as its first frame and a mask"
    )
    patch: tuple[int, int, int] = opt((1, 2, 2), "latent frames, rows and columns in one token")
    max_positions: tuple[int, int, int] = opt(
        (32, 48, 64), "sizes of the position tables: tokens along T, H, W"
    )
    positions: Literal["every", "first"] = opt("every", "layers at whose input the positions are added")
    position_std: float = opt(0.02, "standard deviation of the position tables at the start")
    context_dim: int = opt(192, "dimension of the text tokens that cross-attention reads")
    context_norm: bool = opt(True, "normalise the query stream before cross-attention")
    norm: Literal["rms", "layer"] = opt("rms", "normalisation: rms (LLaMa3) or layer (DiT, ablation c)")
    qk_norm: bool = opt(False, "normalise queries and keys of every head (the paper does not say so)")
    ffn_kind: Literal["swiglu", "silu", "gelu"] = opt(
        "swiglu", "feed-forward network: swiglu (LLaMa3) or an MLP"
    )
    bias: bool = opt(False, "biases in the linear layers (LLaMa3: none; DiT: yes)")
    time_dim: int = opt(256, "dimension of the sinusoidal time features")
    attention: Backend = opt(
        "auto",
        "attention kernel; flash needs a GPU and its extra, matmul suits short sequences on a CPU, chunked"
        " bfloat16 on a CPU; auto: chunked there, else sdpa",
    )
    initial_gate: float = opt(0.0, "value of every gate at the start; 0 starts each block as the identity")
    num_checkpointed_blocks: int = opt(0, "blocks, from the first on, recomputed in the backward pass")

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "ffn", "latent_channels", "context_dim", "time_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.known_channels < 0:
            raise ValueError(f"known_channels must not be negative, got {self.known_channels}")
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads={self.heads}, got {self.width}")
        if self.ffn % 8:
            raise ValueError(f"ffn must be a multiple of 8, got {self.ffn}")
        if self.time_dim % 2:
            raise ValueError(f"time_dim must be even, got {self.time_dim}")
        for name in ("patch", "max_positions"):
            if len(getattr(self, name)) != 3 or min(getattr(self, name)) < 1:
                raise ValueError(f"{name} must be three numbers of at least 1, got {getattr(self, name)}")
        if not 0 <= self.num_checkpointed_blocks <= self.layers:
            given = self.num_checkpointed_blocks
            raise ValueError(f"num_checkpointed_blocks must lie in 0..{self.layers} (layers), got {given}")
