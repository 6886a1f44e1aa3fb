"""Patches, positions, layers and attention against plain formulas."""

import dataclasses
import math
import sys
import types

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from src.flow.noise import torch_generator
from src.models.nn.attention import attend
from src.models.nn.fused_linear import GatedInput
from src.models.nn.layers import MLP, NORM_EPS, Linear, SwiGLU, make_norm, modulated
from src.models.transformer.adaln import time_features
from src.models.transformer.block import CrossAttention, SelfAttention
from src.models.transformer.patchify import from_patches, to_patches
from src.models.transformer.pos_embed import FactorisedPositions, expand_table
from tests.src.models.transformer.test_model import TINY, build


def randn(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch_generator(0, "test.parts", *shape), dtype=dtype)


@pytest.mark.parametrize("patch", [(1, 2, 2), (2, 1, 4), (1, 1, 1)])
def test_patches_are_a_strided_convolution(patch):
    x, weight = randn(2, 3, 4, 4, 8), randn(5, 3, *patch)
    convolved = F.conv3d(x, weight, stride=patch).flatten(2).transpose(1, 2)
    torch.testing.assert_close(to_patches(x, patch) @ weight.flatten(1).T, convolved)


def test_patches_there_and_back():
    x, patch = randn(2, 3, 4, 4, 8), (2, 1, 4)
    assert torch.equal(from_patches(to_patches(x, patch), (2, 4, 2), patch), x)


def test_positions_are_sums_of_three_tables():
    positions = FactorisedPositions((3, 4, 5), 6)
    table = positions((2, 3, 4)).unflatten(0, (2, 3, 4))
    expected = positions.time[1] + positions.height[2] + positions.width[3]
    torch.testing.assert_close(table[1, 2, 3], expected)
    assert positions.time.std().item() == pytest.approx(0.02, rel=0.5)


def test_spread_of_positions_is_a_setting():
    torch.manual_seed(0)
    positions = FactorisedPositions((10, 10, 10), 100, 0.3)
    for table in positions.parameters():
        assert table.std().item() == pytest.approx(0.3, rel=0.1)


def test_expansion_of_positions():
    table = torch.tensor([[0.0], [1.0], [4.0]])
    torch.testing.assert_close(expand_table(table, 5).flatten(), torch.tensor([0.0, 0.5, 1.0, 2.5, 4.0]))
    assert torch.equal(expand_table(table, 5, "pad").flatten(), torch.tensor([0.0, 1.0, 4.0, 4.0, 4.0]))
    assert torch.equal(expand_table(table, 3), table)
    assert torch.equal(expand_table(table[:1], 2), torch.zeros(2, 1))
    with pytest.raises(ValueError, match="2 after 3"):
        expand_table(table, 2)


def test_swiglu_is_its_formula():
    ffn = SwiGLU(6, 16).double()
    x = randn(2, 3, 6)
    rows = ffn.gate_up.weight.unflatten(0, (8, 2, 2))
    gate, up = x @ rows[:, 0].flatten(0, 1).T, x @ rows[:, 1].flatten(0, 1).T
    torch.testing.assert_close(ffn(x), (gate * torch.sigmoid(gate) * up) @ ffn.down.weight.T)


def test_mlp_activations():
    x = randn(2, 6)
    for name, function in (("silu", F.silu), ("gelu", lambda h: F.gelu(h, approximate="tanh"))):
        mlp = MLP(6, 8, activation=name).double()
        torch.testing.assert_close(mlp(x), mlp.down(function(mlp.up(x))))


def test_norms():
    x = randn(4, 16)
    rms = make_norm("rms", 16).double()
    torch.testing.assert_close(rms(x), x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt())
    assert isinstance(make_norm("layer", 16), nn.LayerNorm)
    assert not list(make_norm("layer", 16).parameters())


def test_linear_start():
    torch.manual_seed(0)
    layer = Linear(400, 300)
    assert layer.weight.std().item() == pytest.approx(400**-0.5, rel=0.02)
    assert layer.bias is None
    assert not Linear(4, 4, zero=True).weight.any()


def plain_norm(norm, x, given):
    """norm(x) (1 + scale) + shift, step by step."""
    rms = isinstance(norm, nn.RMSNorm)
    centred = x if rms else x - x.mean(-1, keepdim=True)
    plain = centred / (centred.square().mean(-1, keepdim=True) + NORM_EPS).sqrt()
    plain = plain * norm.weight if rms else plain
    return plain * (1 + given[1]) + given[0] if given else plain


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [None, (3, 1, 16), (3, 5, 16)])
@pytest.mark.parametrize("kind", ["rms", "layer"])
def test_a_layer_of_a_modulated_norm_is_its_definition(kind, shape, bias):
    random = torch_generator(0, "test.modulated")
    norm, layer = make_norm(kind, 16).double(), Linear(16, 7, bias=bias).double()
    x = (3 * torch.randn(3, 5, 16, generator=random)).double().requires_grad_()
    given = [torch.randn(shape, generator=random).double().requires_grad_() for _ in "ab"] if shape else []
    weights = [*norm.parameters(), *layer.parameters()]
    for p in weights:
        torch.nn.init.normal_(p, generator=random)
    plain = F.linear(plain_norm(norm, x, given), layer.weight, layer.bias)
    ours = layer(modulated(norm, x, *given))
    out = torch.randn(3, 5, 7, generator=random).double()
    torch.testing.assert_close(ours, plain)
    of = [x, *given, *weights]
    for a, b in zip(torch.autograd.grad(ours, of, out), torch.autograd.grad(plain, of, out), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_layer_read_twice_and_read_frozen(frozen):
    """Gradients of two uses add up; weights that do not learn get none."""
    norm, layer, ffn = make_norm("rms", 16).double(), Linear(16, 16).double(), SwiGLU(16, 16).double()
    for p in (*layer.parameters(), *ffn.parameters()):
        p.requires_grad_(not frozen)
    x, of = randn(3, 16).requires_grad_(), [p for p in (*layer.parameters(), *ffn.parameters()) if not frozen]

    def twice(normed, gated):
        hidden = layer(normed(layer(normed(x))))
        return gated(gated(hidden)).square().sum()

    def plain_ffn(h):
        gate, up = F.linear(h, ffn.gate_up.weight).unflatten(-1, (8, 2, -1)).unbind(-2)
        return F.linear((F.silu(gate) * up).flatten(-2), ffn.down.weight)

    ours = torch.autograd.grad(twice(lambda h: modulated(norm, h), ffn), [x, *of])
    plain = torch.autograd.grad(twice(lambda h: plain_norm(norm, h, ()), plain_ffn), [x, *of])
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b)


def test_layers_of_cheap_inputs_under_autocast():
    """Products in bfloat16, everything around them in float32, gradients in their parameters' types."""
    norm, layer, ffn = make_norm("rms", 16), Linear(16, 16, bias=True), SwiGLU(16, 16, bias=True)
    x, out = randn(3, 5, 16, dtype=torch.float32).requires_grad_(), randn(3, 5, 16, dtype=torch.float32)
    shift, scale = (randn(3, 1, 16, dtype=torch.float32).add(i).requires_grad_() for i in range(2))
    of = [x, shift, scale, *norm.parameters(), *layer.parameters(), *ffn.parameters()]
    with torch.autocast("cpu", torch.bfloat16):
        ours = ffn(layer(modulated(norm, x, shift, scale)))
        hidden = layer(plain_norm(norm, x, (shift, scale)))
        gate, up = F.linear(hidden, ffn.gate_up.weight, ffn.gate_up.bias).unflatten(-1, (8, 2, -1)).unbind(-2)
        plain = F.linear((F.silu(gate) * up).flatten(-2), ffn.down.weight, ffn.down.bias)
    assert ours.dtype == plain.dtype == torch.bfloat16
    for a, b in zip(
        torch.autograd.grad(ours.float(), of, out), torch.autograd.grad(plain.float(), of, out), strict=True
    ):
        assert a.dtype == b.dtype == torch.float32
        assert F.mse_loss(a, b) < 1e-4 * b.square().mean()


def test_layers_of_cheap_inputs_compile_whole():
    """As torch.compile sees a block in training: one graph, the same gradients."""
    norm, ffn, x = make_norm("rms", 16), SwiGLU(16, 16), randn(3, 16, dtype=torch.float32)

    def loss(x):
        return ffn(modulated(norm, x)).square().sum()

    of = [*norm.parameters(), *ffn.parameters()]
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    for a, b in zip(torch.autograd.grad(compiled(x), of), torch.autograd.grad(loss(x), of), strict=True):
        torch.testing.assert_close(a, b)


def test_under_autocast_the_gradient_of_a_norms_input_is_not_rounded():
    """The residual stream is float32 there: its gradient is not of bfloat16's few values."""
    x = randn(2, 3, 16, dtype=torch.float32).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = Linear(16, 16)(modulated(make_norm("rms", 16), x))
    (gradient,) = torch.autograd.grad(out.float().square().sum(), x)
    assert not torch.equal(gradient, gradient.bfloat16().float())


def test_norms_keep_the_type_of_their_input():
    assert make_norm("rms", 16)(torch.randn(2, 16).bfloat16()).dtype == torch.bfloat16


def test_time_features():
    features = time_features(torch.tensor([0.0, 0.5]), 8)
    assert features[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert features[1, [0, 4]].tolist() == pytest.approx([math.cos(500), math.sin(500)], abs=1e-4)


def plain_attention(q, k, v, mask):
    logits = torch.einsum("blhd,bshd->bhls", q, k) / q.shape[-1] ** 0.5
    if mask is not None:
        logits = logits.masked_fill(~mask[:, None, None], float("-inf"))
    return torch.einsum("bhls,bshd->blhd", logits.softmax(-1), v)


@pytest.mark.parametrize("backend", ["auto", "sdpa", "matmul", "chunked"])
@pytest.mark.parametrize("masked", [False, True])
def test_kernels_are_the_formula(masked, backend):
    q, k, v = randn(2, 5, 3, 4), randn(2, 7, 3, 4) + 1, randn(2, 7, 3, 4)
    mask = torch.arange(7) < torch.tensor([[7], [4]]) if masked else None
    out = attend(q, k, v, mask, backend=backend)
    tolerance = {"rtol": 1e-5, "atol": 1e-6}  # matmul takes its softmax in float32
    torch.testing.assert_close(out, plain_attention(q, k, v, mask), **tolerance)


def fake_flash():
    """The package's two functions by their documented meaning, so that our packing can be checked."""

    def varlen(q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k):
        assert cu_seqlens_q.dtype == cu_seqlens_k.dtype == torch.int32
        out = []
        for i in range(len(cu_seqlens_q) - 1):
            rows, keys = slice(*cu_seqlens_q[i : i + 2].tolist()), slice(*cu_seqlens_k[i : i + 2].tolist())
            assert rows.stop - rows.start <= max_seqlen_q
            assert keys.stop - keys.start <= max_seqlen_k
            out.append(plain_attention(q[None, rows], k[None, keys], v[None, keys], None)[0])
        return torch.cat(out)

    return types.SimpleNamespace(
        flash_attn_func=lambda q, k, v: plain_attention(q, k, v, None), flash_attn_varlen_func=varlen
    )


@pytest.mark.parametrize("masked", [False, True])
def test_flash_packs_like_sdpa_masks(monkeypatch, masked):
    monkeypatch.setitem(sys.modules, "flash_attn", fake_flash())
    q, k, v = randn(3, 5, 3, 4), randn(3, 7, 3, 4) + 1, randn(3, 7, 3, 4)
    mask = torch.tensor([[1] * 7, [1] * 2 + [0] * 5, [0, 1, 1, 0, 1, 0, 0]]).bool() if masked else None
    torch.testing.assert_close(attend(q, k, v, mask, backend="flash"), attend(q, k, v, mask))


@pytest.mark.gpu
def test_flash_equals_sdpa_on_a_gpu():
    pytest.importorskip("flash_attn")
    q, k, v = (randn(2, 64, 4, 64, dtype=torch.float32).add(i).cuda().bfloat16() for i in range(3))
    mask = torch.arange(64, device="cuda") < torch.tensor([[64], [10]], device="cuda")
    torch.testing.assert_close(
        attend(q, k, v, mask, backend="flash"), attend(q, k, v, mask), rtol=0, atol=0.02
    )


def test_missing_flash_is_an_error_and_so_is_an_unknown_kernel(monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    q = randn(1, 2, 1, 4)
    with pytest.raises(ValueError, match="flash-attn"):
        attend(q, q, q, backend="flash")
    with pytest.raises(ValueError, match=r"sdpa, flash.*xformers"):
        attend(q, q, q, backend="xformers")


def test_cutting_fused_rows_keeps_heads_whole():
    """Two halves of qkv and out, as tensor parallelism cuts them, add up to the whole."""
    whole = SelfAttention(8, 4).double()
    x, total = randn(2, 3, 8), 0
    for rank in range(2):
        half = SelfAttention(8, 4).double()
        half.qkv.weight = nn.Parameter(whole.qkv.weight.chunk(2)[rank])
        half.out.weight = nn.Parameter(whole.out.weight.chunk(2, dim=1)[rank])
        total = total + half(x)
    torch.testing.assert_close(total, whole(x))
    ffn, parts = SwiGLU(8, 16).double(), 0
    for rank in range(2):
        gate, up = ffn.gate_up.weight.chunk(2)[rank].unflatten(0, (4, 2, 2)).unbind(1)
        hidden = F.silu(x @ gate.flatten(0, 1).T) * (x @ up.flatten(0, 1).T)
        parts = parts + hidden @ ffn.down.weight.chunk(2, dim=1)[rank].T
    torch.testing.assert_close(parts, ffn(x))


@pytest.mark.parametrize("qk_norm", [True, False])
def test_normalised_queries_and_keys_bound_the_logits(qk_norm):
    """However large their weights grow, attention stays what it was; without the norms it does not."""
    own = SelfAttention(16, 2, qk_norm=qk_norm).double()
    text = CrossAttention(16, 2, 8, qk_norm=qk_norm).double()
    nn.init.normal_(text.out.weight)
    x, context = randn(2, 5, 16), randn(2, 3, 8)
    with torch.no_grad():
        before = own(x), text(x, text.keys_values(context), None)
        own.qkv.weight.unflatten(0, (2, 3, 8))[:, :2] *= 50
        text.query.weight *= 50
        text.key_value.weight.unflatten(0, (2, 2, 8))[:, 0] *= 50
        after = own(x), text(x, text.keys_values(context), None)
    for a, b in zip(before, after, strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-3) == qk_norm


@pytest.mark.parametrize("tokens", [5, 701])  # in one part, in several of unequal size
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gated_unit_is_plain_autograd_and_keeps_its_input_alone(dtype, tokens):
    fused = randn(2, tokens, 64, dtype=torch.float32).to(dtype).requires_grad_()
    down = Linear(32, 7).to(dtype)
    gate, up = fused.unflatten(-1, (8, 2, -1)).unbind(-2)
    plain = F.linear((F.silu(gate) * up).flatten(-2), down.weight)
    out = randn(2, tokens, 7, dtype=torch.float32).to(dtype)
    expected = torch.autograd.grad(plain, [fused, down.weight], out)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        ours = down(GatedInput(fused))
    found = torch.autograd.grad(ours, [fused, down.weight], out)
    assert torch.equal(ours, plain)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert [x.data_ptr() for x in kept] == [fused.data_ptr(), down.weight.data_ptr()]


def test_what_is_cheap_is_not_kept_for_the_backward_pass():
    """Numbers kept for a token by a block of ffn = 2 widths: 15 widths; 27 with plain autograd."""
    kept_floats = []
    for layers in (2, 4):
        kept = {}
        model = build(dataclasses.replace(TINY, layers=layers, max_positions=(4, 8, 8)))
        film, text = torch.randn(1, 4, 4, 16, 16), torch.randn(1, 6, 24)
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x, kept=kept: kept.setdefault(x.untyped_storage().data_ptr(), x), lambda x: x
        ):
            model(film, torch.tensor([0.5]), text)
        own = {p.data_ptr() for p in model.parameters()}
        kept_floats.append(sum(x.untyped_storage().nbytes() // 4 for q, x in kept.items() if q not in own))
    assert (kept_floats[1] - kept_floats[0]) / 2 / 256 / TINY.width < 15.5
