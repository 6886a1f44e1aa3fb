"""Config of the media transformer; imports no torch."""

from dataclasses import dataclass
from typing import Literal

from src.core.fields import Config, opt
from src.models.nn.config import AttentionBackend


@dataclass(frozen=True, kw_only=True)
class TransformerConfig(Config):
    """Architecture of a `MediaTransformer`. The defaults are the paper's block at a small size."""

    hidden_size: int = opt(256, "model dimension (the paper: 6144)", ge=1)
    depth: int = opt(6, "number of blocks (the paper: 48)", ge=1)
    num_heads: int = opt(
        4, "attention heads; hidden_size / num_heads is the head dimension (the paper: 48 heads of 128)", ge=1
    )
    ffn_dim: int = opt(
        704, "hidden dimension of the feed-forward network, a multiple of 8 (the paper: 16384)", ge=1
    )
    latent_channels: int = opt(16, "channels of the latent and of the predicted velocity", ge=1)
    cond_channels: int = opt(
        0, "additional input channels that condition the model, such as a first frame and its mask", ge=0
    )
    patch: tuple[int, int, int] = opt((1, 2, 2), "latent frames, rows and columns in one token", ge=1)
    max_positions: tuple[int, int, int] = opt(
        (32, 48, 64), "sizes of the position tables: tokens along T, H, W", ge=1
    )
    positions: Literal["every", "first", "rotary"] = opt(
        "every",
        "learned embeddings added at the input of every block, or of the first only; rotary: queries and "
        "keys are"
        " rotated instead, for latents of one row and column (audio) and of any length",
    )
    position_std: float = opt(0.02, "standard deviation of the position tables at initialization")
    aligned_features: Literal["add", "concatenate"] = opt(
        "add",
        "features of another medium, one for each token, such as a video's for its audio: added to the "
        "tokens, or"
        " concatenated in time (the paper's weaker alternative)",
    )
    context_dim: int = opt(192, "dimension of the text tokens that cross-attention reads", ge=1)
    context_norm: bool = opt(True, "normalize the query stream before cross-attention")
    norm: Literal["rms", "layer"] = opt("rms", "normalization: rms (LLaMa3) or layer (DiT, ablation c)")
    qk_norm: bool = opt(False, "normalize queries and keys of every head (not stated in the paper)")
    ffn_kind: Literal["swiglu", "silu", "gelu"] = opt(
        "swiglu", "feed-forward network: swiglu (LLaMa3) or an MLP with silu or gelu"
    )
    bias: bool = opt(False, "biases in the linear layers (LLaMa3: none; DiT: yes)")
    time_dim: int = opt(256, "dimension of the sinusoidal timestep embedding, even", ge=1)
    attention: AttentionBackend = opt(
        "auto",
        "attention kernel; flash needs a GPU and its extra, matmul suits short sequences on a CPU, chunked"
        " bfloat16 on a CPU; auto: chunked there, else sdpa",
    )
    initial_gate: float = opt(0.0, "initial value of every gate; 0 makes each block start as the identity")
    num_checkpointed_blocks: int = opt(
        0, "number of blocks, counted from the first, with activation checkpointing", ge=0
    )
    checkpoints_keep: Literal["nothing", "attention", "products"] = opt(
        "nothing",
        "of a checkpointed block, besides its input, for the backward pass: the outputs of attention (sdpa "
        "or flash), or those of all matrix products too, which are then not computed again",
    )
    offload_checkpoints: bool = opt(
        False, "inputs of checkpointed blocks wait in host memory for the backward pass"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size must be a multiple of num_heads={self.num_heads}, got {self.hidden_size}"
            )
        if self.ffn_dim % 8:
            raise ValueError(f"ffn_dim must be a multiple of 8, got {self.ffn_dim}")
        if self.time_dim % 2:
            raise ValueError(f"time_dim must be even, got {self.time_dim}")
        for name in ("patch", "max_positions"):
            if len(getattr(self, name)) != 3:
                raise ValueError(f"{name} must be three numbers (T, H, W), got {getattr(self, name)}")
        if self.positions == "rotary" and self.max_positions[1:] != (1, 1):
            raise ValueError(
                "positions=rotary is for latents of one row and column: max_positions must be [T, 1, 1], "
                f"got {list(self.max_positions)}"
            )
        if self.num_checkpointed_blocks > self.depth:
            raise ValueError(
                f"num_checkpointed_blocks must be at most depth={self.depth}, "
                f"got {self.num_checkpointed_blocks}"
            )
