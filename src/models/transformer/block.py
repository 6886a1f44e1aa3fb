"""The LLaMa3 block with cross-attention, adaptive norms and full attention (Movie Gen, sec. 3.1.3).

Shapes: B batch, N media tokens, L text tokens, H heads, D hidden size (after H: head dimension).
"""

import torch
from torch import Tensor, nn

from src.models.nn.attention_layers import CrossAttention, SelfAttention
from src.models.nn.layers import make_ffn, make_norm
from src.models.nn.rotary import Rotation
from src.models.nn.token_shards import TokenShards
from src.models.transformer.adaln import ScaleShiftTable
from src.models.transformer.config import TransformerConfig
from src.models.transformer.packing import Packing


class TransformerBlock(nn.Module):
    """Position embeddings; gated self-attention; cross-attention (not modulated); gated feed-forward."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        dim, heads, gate = config.hidden_size, config.num_heads, config.initial_gate
        bias, backend, qk_norm = config.bias, config.attention, config.qk_norm
        self.modulation = ScaleShiftTable((0.0, 0.0, gate, 0.0, 0.0, gate), dim)
        self.attention = SelfAttention(
            dim, heads, norm=make_norm(config.norm, dim), bias=bias, backend=backend, qk_norm=qk_norm
        )
        self.cross_attention = CrossAttention(
            dim,
            heads,
            config.context_dim,
            norm=make_norm(config.norm, dim) if config.context_norm else None,
            bias=bias,
            backend=backend,
            qk_norm=qk_norm,
        )
        self.ffn = make_ffn(config.ffn_kind, dim, config.ffn_dim, norm=make_norm(config.norm, dim), bias=bias)

    def forward(
        self,
        x_BND: Tensor,
        modulation_B6D: Tensor,
        context: Tensor | tuple[Tensor, Tensor],
        mask_BL: Tensor | None,
        pos_embed_ND: Tensor | None,
        packing: Packing | None = None,
        rotation: Rotation | None = None,
        shards: TokenShards | None = None,
    ) -> Tensor:
        """Apply the block.

        Args:
            context: text tokens [B, L, context_dim], or this block's keys and values of them.
            pos_embed_ND: None where position embeddings are not added at this block's input.
            packing: lengths of the samples, if x is a single row of packed samples.
            rotation: rotary positions of self-attention.
            shards: of the tokens; x, positions and result are this process's stream.
        """
        if pos_embed_ND is not None:
            x_BND = x_BND + pos_embed_ND
        modulation = self.modulation(modulation_B6D)
        if packing is not None:
            modulation = tuple(packing.per_token(each) for each in modulation)
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = modulation
        lengths = None if packing is None else packing.media_lengths()
        attended = self.attention(x_BND, shift_a, scale_a, lengths=lengths, rotation=rotation, shards=shards)
        # Under autocast branches are bfloat16; the residual stream stays in its own dtype (float32).
        x_BND = torch.addcmul(x_BND, gate_a, attended.to(x_BND.dtype))
        keys_values = context if isinstance(context, tuple) else self.cross_attention.keys_values(context)
        lengths = None if packing is None else packing.text_lengths()
        x_BND = x_BND + self.cross_attention(
            x_BND, keys_values, mask_BL=mask_BL, lengths=lengths, shards=shards
        )
        hidden = self.ffn(x_BND, shift_f, scale_f, shards)
        return torch.addcmul(x_BND, gate_f, hidden.to(x_BND.dtype))
