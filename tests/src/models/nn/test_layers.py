"""Layers, fused and plain, against their formulas."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from src.flow.noise import torch_generator
from src.models.nn import layers
from src.models.nn.fused_linear import swiglu_linear
from src.models.nn.layers import MLP, NORM_EPS, Linear, NormLinear, SwiGLU, ZeroLinear, make_norm


def randn(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch_generator(0, "test.parts", *shape), dtype=dtype)


def test_swiglu_is_its_formula():
    ffn = SwiGLU(6, 16).double()
    x = randn(2, 3, 6)
    rows = ffn.gate_up.linear.weight.unflatten(0, (8, 2, 2))
    gate, up = x @ rows[:, 0].flatten(0, 1).T, x @ rows[:, 1].flatten(0, 1).T
    torch.testing.assert_close(ffn(x), (gate * torch.sigmoid(gate) * up) @ ffn.down.weight.T)


def test_mlp_activations():
    x = randn(2, 6)
    for name, function in (("silu", F.silu), ("gelu", lambda h: F.gelu(h, approximate="tanh"))):
        mlp = MLP(6, 8, activation=name).double()
        torch.testing.assert_close(mlp(x), mlp.down(function(mlp.up.linear(x))))


def test_norms():
    x = randn(4, 16)
    rms = make_norm("rms", 16).double()
    torch.testing.assert_close(rms(x), x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt())
    assert isinstance(make_norm("layer", 16), nn.LayerNorm)
    assert not list(make_norm("layer", 16).parameters())


def test_initial_weights_of_linear_layers():
    torch.manual_seed(0)
    layer = Linear(400, 300)
    assert layer.weight.std().item() == pytest.approx(400**-0.5, rel=0.02)
    assert layer.bias is None
    zero = ZeroLinear(4, 4, bias=True)
    assert not zero.weight.any()
    assert not zero.bias.any()


def reference_norm(norm, x, modulation):
    """norm(x) (1 + scale) + shift, step by step."""
    rms = isinstance(norm, nn.RMSNorm)
    centered = x if rms else x - x.mean(-1, keepdim=True)
    plain = centered / (centered.square().mean(-1, keepdim=True) + NORM_EPS).sqrt()
    plain = plain * norm.weight if rms else plain
    return plain * (1 + modulation[1]) + modulation[0] if modulation else plain


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [None, (3, 1, 16), (3, 5, 16)])
@pytest.mark.parametrize("kind", ["rms", "layer"])
def test_norm_linear_matches_its_definition(monkeypatch, kind, shape, bias, fused):
    monkeypatch.setattr(layers, "FUSED", fused)
    random = torch_generator(0, "test.modulated")
    norm, layer = make_norm(kind, 16).double(), Linear(16, 7, bias=bias).double()
    x = (3 * torch.randn(3, 5, 16, generator=random)).double().requires_grad_()
    modulation = (
        [torch.randn(shape, generator=random).double().requires_grad_() for _ in "ab"] if shape else []
    )
    weights = [*norm.parameters(), *layer.parameters()]
    for p in weights:
        torch.nn.init.normal_(p, generator=random)
    plain = F.linear(reference_norm(norm, x, modulation), layer.weight, layer.bias)
    ours = NormLinear(norm, layer)(x, *modulation)
    out = torch.randn(3, 5, 7, generator=random).double()
    torch.testing.assert_close(ours, plain)
    of = [x, *modulation, *weights]
    for a, b in zip(torch.autograd.grad(ours, of, out), torch.autograd.grad(plain, of, out), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("frozen", [False, True])
def test_fused_layers_used_twice_and_frozen(frozen):
    """Gradients of two uses add up; frozen weights get none."""
    norm, layer, ffn = make_norm("rms", 16).double(), Linear(16, 16).double(), SwiGLU(16, 16).double()
    for p in (*layer.parameters(), *ffn.parameters()):
        p.requires_grad_(not frozen)
    x, of = randn(3, 16).requires_grad_(), [p for p in (*layer.parameters(), *ffn.parameters()) if not frozen]

    def twice(norm_layer, gated):
        hidden = norm_layer(norm_layer(x))
        return gated(gated(hidden)).square().sum()

    def plain_ffn(h):
        gate, up = F.linear(h, ffn.gate_up.linear.weight).unflatten(-1, (8, 2, -1)).unbind(-2)
        return F.linear((F.silu(gate) * up).flatten(-2), ffn.down.weight)

    ours = torch.autograd.grad(twice(NormLinear(norm, layer), ffn), [x, *of])
    plain = torch.autograd.grad(twice(lambda h: layer(reference_norm(norm, h, ())), plain_ffn), [x, *of])
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b)


def test_fused_layers_under_autocast():
    """Products in bfloat16, everything around them in float32, gradients in their parameters' types."""
    norm, layer, ffn = make_norm("rms", 16), Linear(16, 16, bias=True), SwiGLU(16, 16, bias=True)
    x, out = randn(3, 5, 16, dtype=torch.float32).requires_grad_(), randn(3, 5, 16, dtype=torch.float32)
    shift, scale = (randn(3, 1, 16, dtype=torch.float32).add(i).requires_grad_() for i in range(2))
    of = [x, shift, scale, *norm.parameters(), *layer.parameters(), *ffn.parameters()]
    with torch.autocast("cpu", torch.bfloat16):
        ours = ffn(NormLinear(norm, layer)(x, shift, scale))
        hidden = layer(reference_norm(norm, x, (shift, scale)))
        gate, up = (
            F.linear(hidden, ffn.gate_up.linear.weight, ffn.gate_up.linear.bias)
            .unflatten(-1, (8, 2, -1))
            .unbind(-2)
        )
        plain = F.linear((F.silu(gate) * up).flatten(-2), ffn.down.weight, ffn.down.bias)
    assert ours.dtype == plain.dtype == torch.bfloat16
    for a, b in zip(
        torch.autograd.grad(ours.float(), of, out), torch.autograd.grad(plain.float(), of, out), strict=True
    ):
        assert a.dtype == b.dtype == torch.float32
        assert F.mse_loss(a, b) < 1e-4 * b.square().mean()


def test_fused_layers_compile_to_one_graph():
    """Compile as for training: one graph, the same gradients."""
    ffn, x = SwiGLU(16, 16, norm=make_norm("rms", 16)), randn(3, 16, dtype=torch.float32)

    def loss(x):
        return ffn(x).square().sum()

    of = [*ffn.parameters()]
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    for a, b in zip(torch.autograd.grad(compiled(x), of), torch.autograd.grad(loss(x), of), strict=True):
        torch.testing.assert_close(a, b)


def test_gradient_of_a_norm_input_keeps_float32_under_autocast():
    """The residual stream is float32: its gradient must not be rounded to bfloat16."""
    x = randn(2, 3, 16, dtype=torch.float32).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = NormLinear(make_norm("rms", 16), Linear(16, 16))(x)
    (gradient,) = torch.autograd.grad(out.float().square().sum(), x)
    assert not torch.equal(gradient, gradient.bfloat16().float())


def test_norms_keep_the_dtype_of_their_input():
    assert make_norm("rms", 16)(torch.randn(2, 16).bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("tokens", [5, 701])  # in one chunk, in several of unequal size
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fused_swiglu_matches_autograd_and_saves_only_its_input(dtype, tokens):
    fused = randn(2, tokens, 64, dtype=torch.float32).to(dtype).requires_grad_()
    down = Linear(32, 7).to(dtype)
    gate, up = fused.unflatten(-1, (8, 2, -1)).unbind(-2)
    plain = F.linear((F.silu(gate) * up).flatten(-2), down.weight)
    out = randn(2, tokens, 7, dtype=torch.float32).to(dtype)
    expected = torch.autograd.grad(plain, [fused, down.weight], out)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):
        ours = swiglu_linear(fused, down.weight, down.bias)
    found = torch.autograd.grad(ours, [fused, down.weight], out)
    # A product of some of the rows may add in another order on some CPUs: equal to a few roundings.
    for a, b in ((ours, plain), *zip(found, expected, strict=True)):
        eps = 4 * torch.finfo(dtype).eps
        torch.testing.assert_close(a, b, rtol=eps, atol=eps * b.abs().max().item())
    assert [x.data_ptr() for x in saved] == [fused.data_ptr(), down.weight.data_ptr()]


@pytest.mark.parametrize("observe", ["hook", "pre_hook", "subclass", "flag"])
def test_observed_modules_take_the_plain_path_with_the_same_values(monkeypatch, observe):
    norm, layer = make_norm("rms", 16).double(), Linear(16, 7).double()
    x = randn(3, 5, 16).requires_grad_()
    fused = NormLinear(norm, layer)(x)
    assert "_RMSNormLinear" in type(fused.grad_fn).__name__
    seen = []
    if observe == "hook":
        layer.register_forward_hook(lambda module, args, out: seen.append(args[0].shape))
    elif observe == "pre_hook":
        norm.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape))
    elif observe == "subclass":
        layer.__class__ = type("Quantized", (Linear,), {})
    else:
        monkeypatch.setattr(layers, "FUSED", False)
    plain = NormLinear(norm, layer)(x)
    assert "_RMSNormLinear" not in type(plain.grad_fn).__name__
    assert seen == ([x.shape] if "hook" in observe else [])
    torch.testing.assert_close(plain, fused)
