"""The LLaMa3 block with cross-attention, adaptive norms and full attention (spec, section 3.2).

Shapes: B batch, N media tokens, L text tokens, H heads, D width (or head dimension after H).
"""

import torch
from torch import Tensor, nn

from src.models.nn.attention import attend, attend_packed
from src.models.nn.layers import Input, Linear, make_ffn, make_norm, make_qk_norms, modulated
from src.models.transformer.adaln import ModulationTable
from src.models.transformer.config import TransformerConfig
from src.models.transformer.packing import Packing


class SelfAttention(nn.Module):
    """Multi-head attention of media tokens among themselves; one matrix product for q, k and v.

    The fused rows are ordered (head, q|k|v, dim): equal cuts hold whole heads (tensor parallelism).
    """

    def __init__(
        self, width: int, heads: int, *, bias: bool = False, backend: str = "auto", qk_norm: bool = False
    ) -> None:
        super().__init__()
        self.head_dim, self.backend = width // heads, backend
        self.qkv = Linear(width, 3 * width, bias=bias)
        self.out = Linear(width, width, bias=bias)
        self.query_norm, self.key_norm = make_qk_norms(qk_norm, self.head_dim)

    def forward(self, x_BND: Input, mask_BN: Tensor | None = None, packing: Packing | None = None) -> Tensor:
        q, k, v = self.qkv(x_BND).unflatten(-1, (-1, 3, self.head_dim)).unbind(-2)
        q, k = self.query_norm(q), self.key_norm(k)
        if packing is not None:
            sizes = (packing.media, packing.media)
            return self.out(attend_packed(q[0], k[0], v[0], *sizes, backend=self.backend)[None].flatten(-2))
        return self.out(attend(q, k, v, mask_BN, backend=self.backend).flatten(-2))


class CrossAttention(nn.Module):
    """Media tokens read text tokens. Keys and values do not depend on time, so sampling keeps them."""

    def __init__(
        self,
        width: int,
        heads: int,
        context_dim: int,
        *,
        bias: bool = False,
        backend: str = "auto",
        qk_norm: bool = False,
    ) -> None:
        super().__init__()
        self.head_dim, self.backend = width // heads, backend
        self.query = Linear(width, width, bias=bias)
        self.key_value = Linear(context_dim, 2 * width, bias=bias)
        self.out = Linear(width, width, bias=bias, zero=True)
        self.query_norm, self.key_norm = make_qk_norms(qk_norm, self.head_dim)

    def keys_values(self, context_BLD: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [B, L, H, D] of the text."""
        k, v = self.key_value(context_BLD).unflatten(-1, (-1, 2, self.head_dim)).unbind(-2)
        return self.key_norm(k), v

    def forward(
        self,
        x_BND: Input,
        keys_values: tuple[Tensor, Tensor],
        mask_BL: Tensor | None,
        packing: Packing | None = None,
    ) -> Tensor:
        q = self.query_norm(self.query(x_BND).unflatten(-1, (-1, self.head_dim)))
        if packing is not None:
            k, v = (each[0] for each in keys_values)
            sizes = (packing.media, packing.text)
            return self.out(attend_packed(q[0], k, v, *sizes, backend=self.backend)[None].flatten(-2))
        return self.out(attend(q, *keys_values, mask_BL, backend=self.backend).flatten(-2))


class TransformerBlock(nn.Module):
    """x + positions; gated self-attention; cross-attention (not modulated); gated feed-forward."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width, bias, backend = config.width, config.bias, config.attention
        gate = config.initial_gate
        self.modulation = ModulationTable((0.0, 0.0, gate, 0.0, 0.0, gate), width)
        self.attention_norm = make_norm(config.norm, width)
        norm = config.qk_norm
        self.attention = SelfAttention(width, config.heads, bias=bias, backend=backend, qk_norm=norm)
        self.context_norm = make_norm(config.norm, width) if config.context_norm else nn.Identity()
        self.cross_attention = CrossAttention(
            width, config.heads, config.context_dim, bias=bias, backend=backend, qk_norm=norm
        )
        self.ffn_norm = make_norm(config.norm, width)
        self.ffn = make_ffn(config.ffn_kind, width, config.ffn, bias=bias)

    def forward(
        self,
        x_BND: Tensor,
        modulation_B6D: Tensor,
        context: Tensor | tuple[Tensor, Tensor],
        mask_BL: Tensor | None,
        positions_ND: Tensor | None,
        packing: Packing | None = None,
    ) -> Tensor:
        """One block.

        Args:
            context: text tokens [B, L, context_dim], or this block's keys and values of them.
            positions_ND: None where positions are not added at this layer's input.
            packing: sizes of samples that lie one behind the other in a batch of one row.
        """
        if positions_ND is not None:
            x_BND = x_BND + positions_ND
        modulation = self.modulation(modulation_B6D)
        if packing is not None:
            modulation = tuple(packing.per_token(each) for each in modulation)
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = modulation
        hidden = modulated(self.attention_norm, x_BND, shift_a, scale_a)
        attended = self.attention(hidden, packing=packing)
        x_BND = torch.addcmul(x_BND, gate_a, attended.to(x_BND.dtype))
        keys_values = context if isinstance(context, tuple) else self.cross_attention.keys_values(context)
        x_BND = x_BND + self.cross_attention(
            modulated(self.context_norm, x_BND), keys_values, mask_BL, packing
        )
        hidden = self.ffn(modulated(self.ffn_norm, x_BND, shift_f, scale_f))
        return torch.addcmul(x_BND, gate_f, hidden.to(x_BND.dtype))
