"""Attention kernels against the formula."""

import sys
import types

import pytest
import torch

from src.flow.noise import torch_generator
from src.models.nn import attention as attention_module
from src.models.nn.attention import AMX_CHUNKED_KEYS, attention, choose_backend


def randn(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch_generator(0, "test.parts", *shape), dtype=dtype)


def reference_attention(q, k, v, mask):
    logits = torch.einsum("blhd,bshd->bhls", q, k) / q.shape[-1] ** 0.5
    if mask is not None:
        logits = logits.masked_fill(~mask[:, None, None], float("-inf"))
    return torch.einsum("bhls,bshd->blhd", logits.softmax(-1), v)


@pytest.mark.parametrize("backend", ["auto", "sdpa", "matmul", "chunked"])
@pytest.mark.parametrize("masked", [False, True])
def test_kernels_match_the_formula(masked, backend):
    q, k, v = randn(2, 5, 3, 4), randn(2, 7, 3, 4) + 1, randn(2, 7, 3, 4)
    mask = torch.arange(7) < torch.tensor([[7], [4]]) if masked else None
    out = attention(q, k, v, mask, backend=backend)
    tolerance = {"rtol": 1e-5, "atol": 1e-6}  # matmul takes its softmax in float32
    torch.testing.assert_close(out, reference_attention(q, k, v, mask), **tolerance)


@pytest.mark.parametrize(
    ("device", "dtype", "keys", "needs_grad", "has_amx", "expected"),
    [
        ("cpu", torch.bfloat16, 64, True, False, "chunked"),
        ("cpu", torch.bfloat16, 4096, False, False, "chunked"),
        ("cpu", torch.bfloat16, 64, False, True, "sdpa"),
        ("cpu", torch.bfloat16, AMX_CHUNKED_KEYS, True, True, "chunked"),
        ("cpu", torch.bfloat16, AMX_CHUNKED_KEYS + 1, True, True, "sdpa"),
        ("cpu", torch.float32, 64, True, False, "sdpa"),
        ("cpu", torch.float32, 64, True, True, "sdpa"),
        ("cuda", torch.bfloat16, 64, True, False, "sdpa"),
    ],
)
def test_choice_by_dtype_cpu_length_and_gradients(device, dtype, keys, needs_grad, has_amx, expected):
    assert choose_backend(device, dtype, keys, needs_grad=needs_grad, has_amx=has_amx) == expected


@pytest.mark.parametrize("has_amx", [False, True])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_auto_describes_its_inputs(monkeypatch, has_amx, position):
    """The gradient of any of q, k, v counts, unless none is recorded."""
    calls = []
    monkeypatch.setattr(attention_module, "HAS_AMX", has_amx)
    monkeypatch.setattr(
        attention_module, "choose_backend", lambda *args, **kwargs: calls.append((args, kwargs)) or "sdpa"
    )
    inputs = [randn(1, length, 2, 4, dtype=torch.bfloat16) for length in (5, 7, 7)]
    attention(*inputs)
    inputs[position].requires_grad_()
    attention(*inputs)
    with torch.no_grad():
        attention(*inputs)
    assert [args for args, _ in calls] == [("cpu", torch.bfloat16, 7)] * 3
    assert [kwargs for _, kwargs in calls] == [
        {"needs_grad": needs_grad, "has_amx": has_amx} for needs_grad in (False, True, False)
    ]


def fake_flash():
    """The package's two functions as documented, to check our packing without a GPU."""

    def varlen(q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k):
        assert cu_seqlens_q.dtype == cu_seqlens_k.dtype == torch.int32
        out = []
        for i in range(len(cu_seqlens_q) - 1):
            rows, keys = slice(*cu_seqlens_q[i : i + 2].tolist()), slice(*cu_seqlens_k[i : i + 2].tolist())
            assert rows.stop - rows.start <= max_seqlen_q
            assert keys.stop - keys.start <= max_seqlen_k
            out.append(reference_attention(q[None, rows], k[None, keys], v[None, keys], None)[0])
        return torch.cat(out)

    return types.SimpleNamespace(
        flash_attn_func=lambda q, k, v: reference_attention(q, k, v, None), flash_attn_varlen_func=varlen
    )


@pytest.mark.parametrize("masked", [False, True])
def test_flash_with_dropped_keys_equals_sdpa_with_a_mask(monkeypatch, masked):
    monkeypatch.setitem(sys.modules, "flash_attn", fake_flash())
    q, k, v = randn(3, 5, 3, 4), randn(3, 7, 3, 4) + 1, randn(3, 7, 3, 4)
    mask = torch.tensor([[1] * 7, [1] * 2 + [0] * 5, [0, 1, 1, 0, 1, 0, 0]]).bool() if masked else None
    torch.testing.assert_close(attention(q, k, v, mask, backend="flash"), attention(q, k, v, mask))


@pytest.mark.gpu
def test_flash_equals_sdpa_on_a_gpu():
    pytest.importorskip("flash_attn")
    q, k, v = (randn(2, 64, 4, 64, dtype=torch.float32).add(i).cuda().bfloat16() for i in range(3))
    mask = torch.arange(64, device="cuda") < torch.tensor([[64], [10]], device="cuda")
    torch.testing.assert_close(
        attention(q, k, v, mask, backend="flash"), attention(q, k, v, mask), rtol=0, atol=0.02
    )


def test_missing_flash_and_unknown_backend_are_errors(monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    q = randn(1, 2, 1, 4)
    with pytest.raises(ValueError, match="flash-attn"):
        attention(q, q, q, backend="flash")
    with pytest.raises(ValueError, match=r"sdpa, flash.*xformers"):
        attention(q, q, q, backend="xformers")
