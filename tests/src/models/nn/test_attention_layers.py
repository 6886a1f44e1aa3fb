"""Self- and cross-attention with their projections."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from src.flow.noise import torch_generator
from src.models.nn.attention_layers import CrossAttention, SelfAttention
from src.models.nn.layers import SwiGLU


def randn(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch_generator(0, "test.parts", *shape), dtype=dtype)


def test_cutting_fused_rows_keeps_heads_complete():
    """Two halves of qkv and out, as tensor parallelism cuts them, add up to the full layer."""
    full = SelfAttention(8, 4).double()
    x, total = randn(2, 3, 8), 0
    for rank in range(2):
        half = SelfAttention(8, 4).double()
        half.qkv.linear.weight = nn.Parameter(full.qkv.linear.weight.chunk(2)[rank])
        half.out.weight = nn.Parameter(full.out.weight.chunk(2, dim=1)[rank])
        total = total + half(x)
    torch.testing.assert_close(total, full(x))
    ffn, parts = SwiGLU(8, 16).double(), 0
    for rank in range(2):
        gate, up = ffn.gate_up.linear.weight.chunk(2)[rank].unflatten(0, (4, 2, 2)).unbind(1)
        hidden = F.silu(x @ gate.flatten(0, 1).T) * (x @ up.flatten(0, 1).T)
        parts = parts + hidden @ ffn.down.weight.chunk(2, dim=1)[rank].T
    torch.testing.assert_close(parts, ffn(x))


@pytest.mark.parametrize("qk_norm", [True, False])
def test_normalized_queries_and_keys_bound_the_logits(qk_norm):
    """With the norms, attention does not depend on the scale of its weights; without them it does."""
    own = SelfAttention(16, 2, qk_norm=qk_norm).double()
    text = CrossAttention(16, 2, 8, qk_norm=qk_norm).double()
    nn.init.normal_(text.out.weight)
    x, context = randn(2, 5, 16), randn(2, 3, 8)
    with torch.no_grad():
        before = own(x), text(x, text.keys_values(context))
        own.qkv.linear.weight.unflatten(0, (2, 3, 8))[:, :2] *= 50
        text.query.linear.weight *= 50
        text.key_value.weight.unflatten(0, (2, 2, 8))[:, 0] *= 50
        after = own(x), text(x, text.keys_values(context))
    for a, b in zip(before, after, strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-3) == qk_norm
