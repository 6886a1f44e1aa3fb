"""Attention in chunks of logits is attention: values and gradients, however the chunks are cut."""

import pytest
import torch
from torch.autograd import gradcheck

from src.flow.noise import torch_generator
from src.models.nn import attention, chunked_attention
from src.models.nn.attention import attend


def given(queries=10, keys=7, heads=3, dim=4, dtype=torch.float64):
    """Queries, keys and values as a fused product gives them: views with gaps."""
    g = torch_generator(0, "test.chunked")
    fused = torch.randn(2, max(queries, keys), heads, 3, dim, generator=g, dtype=torch.float64).to(dtype)
    q, k, v = fused.unbind(-2)
    return [each.requires_grad_() for each in (q[:, :queries], k[:, :keys], v[:, :keys])]


@pytest.mark.parametrize(("limit", "calls"), [(4, 60), (28, 18), (70, 6), (140, 4), (210, 2), (420, 1)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("few_keys", [False, True])
def test_any_cut_is_the_same_attention(monkeypatch, limit, calls, masked, few_keys):
    """10 queries read 7 keys with 3 heads in 2 samples: a row at a time up to all samples at once."""
    monkeypatch.setattr(chunked_attention, "CHUNK", limit)
    monkeypatch.setattr(chunked_attention, "FEW_KEYS", 7 if few_keys else 6)
    seen, weights = [], chunked_attention._weights
    monkeypatch.setattr(
        chunked_attention, "_weights", lambda *each: seen.append(each[0].shape) or weights(*each)
    )
    mask = torch.arange(7) < torch.tensor([[7], [4]]) if masked else None
    inputs = given()
    assert gradcheck(lambda *each: chunked_attention.attend_in_chunks(*each, mask), inputs, fast_mode=True)
    seen.clear()
    out = chunked_attention.attend_in_chunks(*inputs, mask)
    torch.testing.assert_close(out, attend(*inputs, mask, backend="sdpa"))
    assert len(seen) == calls
    assert all(shape[:-1].numel() * 7 <= max(limit, 7) for shape in seen)


@pytest.mark.parametrize("few_keys", [0, 96])
def test_in_bfloat16_the_error_is_of_its_rounding(monkeypatch, few_keys):
    """Relative to float64 from the same inputs; its 8 bits are 0.4 %. Many chunks add up alike."""
    monkeypatch.setattr(chunked_attention, "FEW_KEYS", few_keys)
    inputs = given(96, 96, 2, 64, torch.bfloat16)
    wide = [each.detach().double().requires_grad_() for each in inputs]
    gradient = torch.randn(2, 96, 2, 64, generator=torch_generator(1, "test.chunked"))

    def numbers(backend, tensors):
        out = attend(*tensors, backend=backend)
        return [out, *torch.autograd.grad(out, tensors, gradient.to(out.dtype))]

    expected = numbers("sdpa", wide)
    for limit in (chunked_attention.CHUNK, 96):  # both samples at once, and row by row
        monkeypatch.setattr(chunked_attention, "CHUNK", limit)
        for value, exact in zip(numbers("chunked", inputs), expected, strict=True):
            assert value.dtype == torch.bfloat16
            assert (value - exact).norm() / exact.norm() < 0.01


@pytest.mark.parametrize(("few_keys", "weights"), [(6, set()), (7, {(6, 10, 7)})])
def test_weights_are_kept_of_few_keys_only(monkeypatch, few_keys, weights):
    monkeypatch.setattr(chunked_attention, "FEW_KEYS", few_keys)
    kept = [each for each in attend(*given(dtype=torch.bfloat16)).grad_fn.saved_tensors if each is not None]
    assert {tuple(each.shape) for each in kept} == {(2, 10, 3, 4), (2, 7, 3, 4)} | weights
    assert all(each.dtype == torch.bfloat16 for each in kept)


@pytest.mark.parametrize(("dtype", "in_chunks"), [(torch.bfloat16, True), (torch.float32, False)])
def test_auto_takes_chunks_for_bfloat16_on_a_cpu(monkeypatch, dtype, in_chunks):
    seen = []
    monkeypatch.setattr(attention, "attend_in_chunks", lambda q, *_: seen.append(q.dtype) or q)
    attend(*given(dtype=dtype))
    assert bool(seen) == in_chunks


def test_it_compiles_whole():
    """As torch.compile sees a block in training: one graph, the same gradients."""
    inputs = given(dtype=torch.bfloat16)
    compiled = torch.compile(chunked_attention.attend_in_chunks, backend="aot_eager", fullgraph=True)
    found, expected = (
        torch.autograd.grad(attention(*inputs).float().square().sum(), inputs)
        for attention in (compiled, chunked_attention.attend_in_chunks)
    )
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)
