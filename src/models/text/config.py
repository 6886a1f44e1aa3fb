"""Configs of the text encoders; imports neither torch nor transformers."""

from dataclasses import dataclass
from typing import Literal

from src.core.fields import Config, opt
from src.models.nn.config import AttentionBackend


@dataclass(frozen=True, kw_only=True)
class ByteEncoderConfig(Config):
    """Architecture of a `ByteEncoder`, which is trained jointly with the video model."""

    hidden_size: int = opt(192, "dimension of the text tokens", ge=1)
    depth: int = opt(2, "number of blocks", ge=0)
    num_heads: int = opt(4, "attention heads", ge=1)
    ffn_dim: int = opt(512, "hidden dimension of the feed-forward network, a multiple of 8")
    bytes_per_token: int = opt(12, "longest run of letters in one token; 1: every byte is a token", ge=1)
    attention: AttentionBackend = opt("auto", "attention kernel, as in the transformer")
    position_std: float = opt(0.02, "standard deviation of the position embeddings at initialization")
    max_tokens: int = opt(96, "maximum number of tokens; longer texts are truncated", ge=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size must be a multiple of num_heads={self.num_heads}, got {self.hidden_size}"
            )
        if self.ffn_dim % 8:
            raise ValueError(f"ffn_dim must be a multiple of 8, got {self.ffn_dim}")


@dataclass(frozen=True, kw_only=True)
class FrozenTextConfig(Config):
    """A pretrained encoder. The paper: UL2 (t5), ByT5 on quoted text only, Long-prompt MetaCLIP (clip)."""

    kind: Literal["t5", "clip"] = opt("t5", "architecture: t5 (UL2, T5, ByT5) or clip (a CLIP text tower)")
    path: str = opt("", "directory of the checkpoint and its tokenizer, as save_pretrained writes them")
    dim: int = opt(768, "dimension of its tokens (UL2 4096, ByT5-small 1472, MetaCLIP 1280)", ge=1)
    max_tokens: int = opt(256, "maximum number of tokens; longer texts are truncated", ge=1)
    quoted: bool = opt(False, "encode only the quoted parts of a prompt: the text to render in the video")
    online: bool = opt(
        False, "encode captions while training, on its device, in place of embeddings stored with the latents"
    )
    shard: bool = opt(
        False, "online, several processes: shard its weights over them (FSDP2), for UL2", resumable=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shard and not self.online:
            raise ValueError("shard=true is for online=true: stored embeddings need no encoder in training")
