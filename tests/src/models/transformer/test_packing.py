"""Videos of mixed sizes packed without padding: the same as one by one, forward and backward."""

import dataclasses
import sys
import types
from itertools import pairwise
from typing import get_args

import pytest
import torch

from src.flow.noise import torch_generator
from src.models.nn.attention import BACKENDS, attention, varlen_attention
from src.models.nn.config import AttentionBackend
from tests.src.models.transformer.test_model import TINY, build

SIZES = ((1, 4, 4), (2, 4, 8), (3, 2, 4), (1, 8, 8))


def mixed_inputs():
    g = torch_generator(0, "test.packing")
    videos = [torch.randn(4, *size, generator=g) for size in SIZES]
    mask = torch.ones(4, 6, dtype=torch.bool)
    mask[0, 2:], mask[2, 1:] = False, False
    return videos, torch.rand(4, generator=g), torch.randn(4, 6, 24, generator=g), mask


@pytest.mark.parametrize("backend", ["sdpa", "matmul", "chunked"])
@pytest.mark.parametrize("change", [{}, {"positions": "first"}, {"num_checkpointed_blocks": 2}])
def test_packed_videos_equal_separate_ones(backend, change):
    model = build(dataclasses.replace(TINY, attention=backend, **change))
    videos, t, context, mask = mixed_inputs()
    packed = model.forward_packed(videos, t, context, mask)
    assert [p.shape for p in packed] == [f.shape for f in videos]
    sum(p.square().sum() for p in packed).backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    alone = [
        model(video[None], t[i : i + 1], context[i : i + 1], mask[i : i + 1])[0]
        for i, video in enumerate(videos)
    ]
    sum(a.square().sum() for a in alone).backward()
    for a, b in zip(packed, alone, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-2)


def test_without_a_mask_all_text_is_attended_to():
    model = build()
    videos, t, context, _ = mixed_inputs()
    packed = model.forward_packed(videos, t, context)
    torch.testing.assert_close(
        packed[1], model(videos[1][None], t[1:2], context[1:2])[0], rtol=1e-4, atol=1e-4
    )


def test_packing_computes_no_padding():
    seen = []
    model = build()
    model.blocks[0].ffn.register_forward_pre_hook(lambda m, args: seen.append(args[0].shape))
    videos, t, context, mask = mixed_inputs()
    model.forward_packed(videos, t, context, mask)
    assert seen == [(1, sum(f[0].numel() // 4 for f in videos), 32)]


def test_attention_is_block_diagonal():
    g = torch_generator(0, "test.packing")
    q, k, v = torch.randn(9, 2, 4, generator=g), *torch.randn(2, 7, 2, 4, generator=g)
    out = varlen_attention(q, k, v, (4, 5), (3, 4))
    mask = torch.zeros(9, 7, dtype=torch.bool)
    mask[:4, :3], mask[4:, 3:] = True, True
    logits = torch.einsum("nhd,shd->hns", q, k) / 2
    weights = logits.masked_fill(~mask, float("-inf")).softmax(-1)
    torch.testing.assert_close(out, torch.einsum("hns,shd->nhd", weights, v))


def test_flash_receives_the_lengths(monkeypatch):
    """Stands in for the kernel, with its documented arguments; the real one needs a GPU."""

    def varlen(q, k, v, *, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k):
        assert cu_seqlens_q.dtype == cu_seqlens_k.dtype == torch.int32
        assert (max_seqlen_q, max_seqlen_k) == (5, 4)
        cuts = zip(cu_seqlens_q.tolist(), cu_seqlens_k.tolist(), strict=True)
        pairs = list(cuts)
        return torch.cat(
            [attention(q[None, a:c], k[None, b:d], v[None, b:d])[0] for (a, b), (c, d) in pairwise(pairs)]
        )

    fake = types.SimpleNamespace(flash_attn_varlen_func=varlen)
    monkeypatch.setitem(sys.modules, "flash_attn", fake)
    g = torch_generator(0, "test.packing")
    q, k, v = torch.randn(9, 2, 4, generator=g), *torch.randn(2, 7, 2, 4, generator=g)
    sizes = ((4, 5), (3, 4))
    torch.testing.assert_close(
        varlen_attention(q, k, v, *sizes, backend="flash"), varlen_attention(q, k, v, *sizes)
    )
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    with pytest.raises(ValueError, match="extra `flash`"):
        varlen_attention(q, k, v, *sizes, backend="flash")
    assert set(BACKENDS) == set(get_args(AttentionBackend))


@pytest.mark.gpu
def test_flash_kernel_equals_separate_samples():
    pytest.importorskip("flash_attn")
    q, k, v = torch.randn(3, 9, 2, 32, device="cuda", dtype=torch.bfloat16)
    sizes = ((4, 5), (4, 5))
    ours = varlen_attention(q, k, v, *sizes, backend="flash")
    torch.testing.assert_close(ours, varlen_attention(q, k, v, *sizes), rtol=2e-2, atol=2e-2)
