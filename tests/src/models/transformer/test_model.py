"""The media transformer as a whole: size, start, conditions, caches, checkpointing, precision."""

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from src.flow.noise import torch_generator
from src.models.transformer.config import TransformerConfig
from src.models.transformer.model import MediaTransformer

TINY = TransformerConfig(
    width=32, layers=3, heads=2, ffn=64, patch=(1, 2, 2), latent_channels=4, context_dim=24,
    max_positions=(4, 4, 4), time_dim=16,
)  # fmt: skip
PAPER_30B = TransformerConfig(width=6144, layers=48, heads=48, ffn=16384, context_dim=6144)


def build(config=TINY, *, seed=0, awake=True):
    """A small model; `awake` opens what starts at zero, so that every path carries signal."""
    torch.manual_seed(seed)
    model = MediaTransformer(config)
    if awake:
        with torch.no_grad():
            for parameter in model.parameters():
                if not parameter.any():
                    parameter.normal_(std=0.1)
    return model


def inputs(batch=2, frames=2, length=5):
    g = torch_generator(0, "test.transformer", batch, frames, length)
    x = torch.randn(batch, 4, frames, 4, 8, generator=g)
    mask = torch.ones(batch, length, dtype=torch.bool)
    mask[0, 3:] = False
    return x, torch.rand(batch, generator=g), torch.randn(batch, length, 24, generator=g), mask


def test_paper_size():
    with torch.device("meta"):
        model = MediaTransformer(PAPER_30B)
    count = sum(p.numel() for p in model.parameters())
    blocks = sum(p.numel() for p in model.blocks.parameters())
    assert blocks == pytest.approx(28.99e9, rel=1e-3)
    assert 29.0e9 < count < 29.5e9
    assert not [name for name, p in model.named_parameters() if name.endswith("bias") and "time." not in name]


@pytest.mark.parametrize(
    ("width", "layers", "heads", "ffn", "billions"), [(1536, 24, 16, 4096, 0.91), (3072, 32, 24, 8192, 4.83)]
)
def test_smaller_sizes(width, layers, heads, ffn, billions):
    config = TransformerConfig(width=width, layers=layers, heads=heads, ffn=ffn, context_dim=width)
    with torch.device("meta"):
        model = MediaTransformer(config)
    assert sum(p.numel() for p in model.blocks.parameters()) == pytest.approx(billions * 1e9, rel=0.01)


def test_velocity_is_zero_and_gates_are_closed_at_first():
    model = build(awake=False)
    x, t, context, mask = inputs()
    assert not model(x, t, context, mask).any()
    modulation, _ = model.time(t)
    tokens = torch.randn(2, 16, 32)
    assert torch.equal(model.blocks[0](tokens, modulation, context, mask, None), tokens)


def test_gates_may_start_open():
    model = build(dataclasses.replace(TINY, initial_gate=0.5), awake=False)
    expected = torch.tensor([0, 0, 0.5, 0, 0, 0.5])[:, None].expand(6, 32)
    for block in model.blocks:
        assert torch.equal(block.modulation.table_KD, expected)


@pytest.mark.parametrize(
    "variant", [{}, {"norm": "layer", "ffn_kind": "gelu", "bias": True}, {"ffn_kind": "silu"}]
)
def test_shape_any_length_and_every_parameter_learns(variant):
    model = build(dataclasses.replace(TINY, **variant))
    for frames in (1, 3):
        x, t, context, mask = inputs(frames=frames)
        out = model(x, t, context, mask)
        assert out.shape == x.shape
    out.square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_conditions_change_the_velocity():
    model = build()
    x, t, context, mask = inputs()
    out = model(x, t, context, mask)
    assert not torch.allclose(model(x, t.flip(0), context, mask), out, atol=1e-4)
    assert not torch.allclose(model(x, t, context.flip(0), mask), out, atol=1e-4)
    assert not torch.allclose(
        model(x.flip(2), t, context, mask).flip(2), out, atol=1e-4
    )  # knows time's arrow
    assert not torch.allclose(model(x.flip(4), t, context, mask).flip(4), out, atol=1e-4)


def test_masked_text_is_not_read():
    model = build()
    x, t, context, mask = inputs()
    changed = context.clone()
    changed[0, 3:] = 100.0
    torch.testing.assert_close(model(x, t, changed, mask), model(x, t, context, mask))
    assert not torch.allclose(model(x, t, changed), model(x, t, context), atol=1e-4)


def test_samples_of_a_batch_do_not_mix():
    model = build()
    x, t, context, mask = inputs()
    out = model(x, t, context, mask)
    for i in range(2):
        one = slice(i, i + 1)
        torch.testing.assert_close(model(x[one], t[one], context[one], mask[one]), out[one])


def test_batch_of_two_equals_two_accumulated():
    model = build()
    x, t, context, mask = inputs()
    model(x, t, context, mask).square().mean().backward()
    whole = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    for i in range(2):
        one = slice(i, i + 1)
        (model(x[one], t[one], context[one], mask[one]).square().mean() / 2).backward()
    for parameter, gradient in zip(model.parameters(), whole, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


def test_cached_text_gives_the_same():
    model = build()
    x, t, context, mask = inputs()
    cache = model.cache_context(context, mask)
    assert torch.equal(model(x, t, cache), model(x, t, context, mask))


@pytest.mark.parametrize("num_blocks", [1, 3])
def test_checkpointing_changes_no_bit(num_blocks):
    x, t, context, mask = inputs()
    gradients = []
    for checkpointed in (0, num_blocks):
        model = build(dataclasses.replace(TINY, num_checkpointed_blocks=checkpointed))
        model(x, t, context, mask).square().mean().backward()
        gradients.append([p.grad for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_checkpointing_saves_memory():
    x, t, context, mask = inputs()
    saved = []
    for checkpointed in (0, 3):
        model, sizes = build(dataclasses.replace(TINY, num_checkpointed_blocks=checkpointed)), []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda v, s=sizes: s.append(v.numel()) or v, lambda v: v
        ):
            model(x, t, context, mask)
        saved.append(sum(sizes))
    assert saved[1] < saved[0] / 3


def test_bfloat16_stays_close_and_keeps_time_and_positions_exact():
    model = build()
    x, t, context, mask = inputs()
    exact = model(x, t, context, mask)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(x, t, context, mask)
        modulation, _ = model.time(t)
    assert modulation.dtype == torch.float32
    assert torch.equal(modulation, model.time(t)[0])
    assert model.positions((1, 2, 4)).dtype == torch.float32
    assert F.mse_loss(rough.float(), exact) < 1e-3 * exact.square().mean()
    rough.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_all_parameters_in_bfloat16():
    model = build().bfloat16()
    x, t, context, mask = inputs()
    assert model(x.bfloat16(), t, context.bfloat16(), mask).dtype == torch.bfloat16


def test_positions_at_every_layer_or_the_first():
    x, t, context, mask = inputs()
    every = build()
    first = build(dataclasses.replace(TINY, positions="first"))
    first.load_state_dict(every.state_dict())
    assert not torch.allclose(every(x, t, context, mask), first(x, t, context, mask), atol=1e-4)
    with torch.no_grad():
        for table in every.positions.parameters():
            table.zero_()
        first.load_state_dict(every.state_dict())
    torch.testing.assert_close(every(x, t, context, mask), first(x, t, context, mask))


def test_meta_model_starts_like_an_eager_one():
    def reset(model):
        torch.manual_seed(3)
        for module in model.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        return model

    with torch.device("meta"):
        late = MediaTransformer(TINY)
    late = late.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in late.parameters():
            parameter.fill_(float("nan"))
    early, late = reset(build()), reset(late)
    assert not list(late.buffers())
    for (name, a), b in zip(early.named_parameters(), late.parameters(), strict=True):
        assert torch.equal(a, b), name


def test_bad_latents_are_named():
    model = build()
    x, t, context, mask = inputs(frames=6)
    with pytest.raises(ValueError, match=r"max_positions\[T\] is 4, the latent needs 6"):
        model(x, t, context, mask)
    with pytest.raises(ValueError, match="patch"):
        model(x[..., :3, :], t, context, mask)


@pytest.mark.parametrize(
    "bad",
    [
        {"width": 0},
        {"heads": 3},
        {"ffn": 60},
        {"patch": (1, 2)},
        {"num_checkpointed_blocks": 4},
        {"time_dim": 3},
    ],
)
def test_bad_config(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        dataclasses.replace(TINY, **bad)
