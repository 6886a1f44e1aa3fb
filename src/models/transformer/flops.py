"""What a media transformer costs, by formula: parameters by part, and floating-point operations.

A multiplication with an addition counts as two operations; norms, activations and softmax are left out.
"""

import math

from src.models.transformer.config import TransformerConfig
from src.models.transformer.model import MediaTransformer

PARTS = {  # part -> what its parameters' names contain; the first that fits
    "patches in and out": ("patch_in.", "known_in.", "patch_out."),
    "positions": ("positions.",),
    "time, shared adaLN": ("time.",),
    "self-attention": (".attention.",),
    "cross-attention": (".cross_attention.",),
    "feed-forward": (".ffn.",),
    "norms, adaLN tables": ("",),
}


def parameters_by_part(model: MediaTransformer) -> dict[str, int]:
    """Number of parameters of each part; a model on the meta device will do."""
    counts = dict.fromkeys(PARTS, 0)
    for name, parameter in model.named_parameters():
        part = next(p for p, words in PARTS.items() if any(word in name for word in words))
        counts[part] += parameter.numel()
    return counts


def block_flops(config: TransformerConfig, num_tokens: int, num_text: int) -> int:
    """Operations of one block for one sample, forward, with its text's keys and values."""
    n, d, text = num_tokens, config.width, num_text
    attention = 2 * n * 4 * d * d + 4 * n * n * d
    cross = 2 * n * 2 * d * d + 2 * text * config.context_dim * 2 * d + 4 * n * text * d
    matrices = 3 if config.ffn_kind == "swiglu" else 2
    return attention + cross + 2 * n * matrices * d * config.ffn


def forward_flops(config: TransformerConfig, num_tokens: int, num_text: int) -> int:
    """Operations of the whole model for one sample, forward.

    Args:
        num_tokens: media tokens of the sample.
        num_text: text tokens that cross-attention reads.
    """
    d = config.width
    time = 2 * (config.time_dim * d + d * d + 8 * d * d)
    channels = 2 * config.latent_channels + config.known_channels
    patches = 2 * num_tokens * d * channels * math.prod(config.patch)
    return config.layers * block_flops(config, num_tokens, num_text) + time + patches


def training_flops(config: TransformerConfig, num_tokens: int, num_text: int) -> int:
    """Forward, backward at twice its cost, and once more the blocks that are recomputed."""
    again = config.num_checkpointed_blocks * block_flops(config, num_tokens, num_text)
    return 3 * forward_flops(config, num_tokens, num_text) + again
