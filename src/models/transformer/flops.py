"""Parameters by part and floating-point operations (FLOPs) of a media transformer, by formula.

A multiplication with an addition counts as two operations; norms, activations and softmax are not counted.
"""

import math

from src.models.transformer.config import TransformerConfig
from src.models.transformer.model import MediaTransformer

PARTS = {  # part -> substrings of its parameters' names; the first match counts
    "patches in and out": ("patch_embed.", "cond_embed.", "proj_out."),
    "positions": ("pos_embed.",),
    "time, shared adaLN": ("t_embedder.",),
    "self-attention": (".attention.",),
    "cross-attention": (".cross_attention.",),
    "feed-forward": (".ffn.",),
}
NORMS = (
    "norms, adaLN tables"  # the rest; pre-norms count here and not as part of the layers that they precede
)


def parameters_by_part(model: MediaTransformer) -> dict[str, int]:
    """Count the parameters of each part; the model may be on the meta device."""
    counts = dict.fromkeys((*PARTS, NORMS), 0)
    for name, parameter in model.named_parameters():
        parts = [p for p, words in PARTS.items() if any(word in name for word in words)]
        counts[parts[0] if parts and ".norm." not in name else NORMS] += parameter.numel()
    return counts


def block_flops(config: TransformerConfig, num_tokens: int, num_text: int) -> int:
    """Return the forward FLOPs of one block for one sample, including the keys and values of its text."""
    n, d, text = num_tokens, config.hidden_size, num_text
    attention = 2 * n * 4 * d * d + 4 * n * n * d
    cross = 2 * n * 2 * d * d + 2 * text * config.context_dim * 2 * d + 4 * n * text * d
    matrices = 3 if config.ffn_kind == "swiglu" else 2
    return attention + cross + 2 * n * matrices * d * config.ffn_dim


def forward_flops(config: TransformerConfig, num_tokens: int, num_text: int) -> int:
    """Return the forward FLOPs of the full model for one sample.

    Args:
        num_tokens: media tokens of the sample.
        num_text: text tokens that cross-attention reads.
    """
    d = config.hidden_size
    time = 2 * (config.time_dim * d + d * d + 8 * d * d)
    channels = 2 * config.latent_channels + config.cond_channels
    patches = 2 * num_tokens * d * channels * math.prod(config.patch)
    return config.depth * block_flops(config, num_tokens, num_text) + time + patches


def training_flops(config: TransformerConfig, num_tokens: int, num_text: int) -> int:
    """Return the FLOPs of forward, backward (twice forward) and the recomputation of checkpointed blocks."""
    recomputed = config.num_checkpointed_blocks * block_flops(config, num_tokens, num_text)
    return 3 * forward_flops(config, num_tokens, num_text) + recomputed
