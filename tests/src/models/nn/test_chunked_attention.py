"""Attention in chunks of logits is attention: values and gradients, however the chunks are cut."""

import pytest
import torch
from torch.autograd import gradcheck

from src.flow.noise import torch_generator
from src.models.nn import chunked_attention as module
from src.models.nn.attention import attention
from src.models.nn.chunked_attention import chunked_attention


def make_inputs(queries=10, keys=7, heads=3, dim=4, dtype=torch.float64):
    """Queries, keys and values as views with gaps, like those of a fused product."""
    g = torch_generator(0, "test.chunked")
    fused = torch.randn(2, max(queries, keys), heads, 3, dim, generator=g, dtype=torch.float64).to(dtype)
    q, k, v = fused.unbind(-2)
    return [each.requires_grad_() for each in (q[:, :queries], k[:, :keys], v[:, :keys])]


@pytest.mark.parametrize(("limit", "calls"), [(4, 60), (28, 18), (70, 6), (140, 4), (210, 2), (420, 1)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("few_keys", [False, True])
def test_any_chunk_size_gives_the_same_attention(monkeypatch, limit, calls, masked, few_keys):
    """10 queries, 7 keys, 3 heads, 2 samples: chunks from one row up to all samples."""
    monkeypatch.setattr(module, "CHUNK", limit)
    monkeypatch.setattr(module, "FEW_KEYS", 7 if few_keys else 6)
    seen, weights = [], module._softmax_weights
    monkeypatch.setattr(
        module, "_softmax_weights", lambda *each: seen.append(each[0].shape) or weights(*each)
    )
    mask = torch.arange(7) < torch.tensor([[7], [4]]) if masked else None
    inputs = make_inputs()
    assert gradcheck(lambda *each: chunked_attention(*each, mask), inputs, fast_mode=True)
    seen.clear()
    out = chunked_attention(*inputs, mask)
    torch.testing.assert_close(out, attention(*inputs, mask, backend="sdpa"))
    assert len(seen) == calls
    assert all(shape[:-1].numel() * 7 <= max(limit, 7) for shape in seen)


@pytest.mark.parametrize("few_keys", [0, 96])
def test_bfloat16_error_is_of_the_order_of_rounding(monkeypatch, few_keys):
    """Relative to float64 from the same inputs; 8 bits are 0.4 %. Sums over many chunks lose no more."""
    monkeypatch.setattr(module, "FEW_KEYS", few_keys)
    inputs = make_inputs(96, 96, 2, 64, torch.bfloat16)
    wide = [each.detach().double().requires_grad_() for each in inputs]
    gradient = torch.randn(2, 96, 2, 64, generator=torch_generator(1, "test.chunked"))

    def numbers(backend, tensors):
        out = attention(*tensors, backend=backend)
        return [out, *torch.autograd.grad(out, tensors, gradient.to(out.dtype))]

    expected = numbers("sdpa", wide)
    for limit in (module.CHUNK, 96):  # all in one chunk, and row by row
        monkeypatch.setattr(module, "CHUNK", limit)
        for value, exact in zip(numbers("chunked", inputs), expected, strict=True):
            assert value.dtype == torch.bfloat16
            assert (value - exact).norm() / exact.norm() < 0.01


@pytest.mark.parametrize(("few_keys", "weights"), [(6, set()), (7, {(6, 10, 7)})])
def test_weights_are_saved_for_few_keys_only(monkeypatch, few_keys, weights):
    monkeypatch.setattr(module, "FEW_KEYS", few_keys)
    saved = [
        each
        for each in attention(*make_inputs(dtype=torch.bfloat16)).grad_fn.saved_tensors
        if each is not None
    ]
    assert {tuple(each.shape) for each in saved} == {(2, 10, 3, 4), (2, 7, 3, 4)} | weights
    assert all(each.dtype == torch.bfloat16 for each in saved)


def test_it_compiles_to_one_graph():
    """Compile as for training: one graph, the same gradients."""
    inputs = make_inputs(dtype=torch.bfloat16)
    compiled = torch.compile(chunked_attention, backend="aot_eager", fullgraph=True)
    found, expected = (
        torch.autograd.grad(attend(*inputs).float().square().sum(), inputs)
        for attend in (compiled, chunked_attention)
    )
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)
