"""The media transformer: size, initialization, conditioning, caches, checkpointing, precision, adapters."""

import contextlib
import dataclasses
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from src.flow.noise import torch_generator
from src.models.transformer.config import TransformerConfig
from src.models.transformer.model import MediaTransformer
from tests.fixtures.step_memory import LiveBytes

TINY = TransformerConfig(
    hidden_size=32, depth=3, num_heads=2, ffn_dim=64, patch=(1, 2, 2), latent_channels=4, context_dim=24,
    max_positions=(4, 4, 4), time_dim=16,
)  # fmt: skip
PAPER_30B = TransformerConfig(hidden_size=6144, depth=48, num_heads=48, ffn_dim=16384, context_dim=6144)


def build(config=TINY, *, seed=0, zero_init=False):
    """A small model; unless `zero_init`, parameters at zero get random values, to test every path."""
    torch.manual_seed(seed)
    model = MediaTransformer(config)
    if not zero_init:
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
    assert not [
        name for name, p in model.named_parameters() if name.endswith("bias") and "t_embedder." not in name
    ]


@pytest.mark.parametrize(
    ("width", "layers", "heads", "ffn", "billions"), [(1536, 24, 16, 4096, 0.91), (3072, 32, 24, 8192, 4.83)]
)
def test_smaller_sizes(width, layers, heads, ffn, billions):
    config = TransformerConfig(
        hidden_size=width, depth=layers, num_heads=heads, ffn_dim=ffn, context_dim=width
    )
    with torch.device("meta"):
        model = MediaTransformer(config)
    assert sum(p.numel() for p in model.blocks.parameters()) == pytest.approx(billions * 1e9, rel=0.01)


def test_initial_velocity_is_zero_and_gates_are_closed():
    model = build(zero_init=True)
    x, t, context, mask = inputs()
    assert not model(x, t, context, mask).any()
    modulation, _ = model.t_embedder(t)
    tokens = torch.randn(2, 16, 32)
    assert torch.equal(model.blocks[0](tokens, modulation, context, mask, None), tokens)


def test_initial_gate():
    model = build(dataclasses.replace(TINY, initial_gate=0.5), zero_init=True)
    expected = torch.tensor([0, 0, 0.5, 0, 0, 0.5])[:, None].expand(6, 32)
    for block in model.blocks:
        assert torch.equal(block.modulation.table_KD, expected)


@pytest.mark.parametrize(
    "variant", [{}, {"norm": "layer", "ffn_kind": "gelu", "bias": True}, {"ffn_kind": "silu"}]
)
def test_output_shape_and_gradients_of_every_parameter(variant):
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
    assert not torch.allclose(model(x.flip(2), t, context, mask).flip(2), out, atol=1e-4)
    assert not torch.allclose(model(x.flip(4), t, context, mask).flip(4), out, atol=1e-4)


def test_masked_text_has_no_effect():
    model = build()
    x, t, context, mask = inputs()
    changed = context.clone()
    changed[0, 3:] = 100.0
    torch.testing.assert_close(model(x, t, changed, mask), model(x, t, context, mask))
    assert not torch.allclose(model(x, t, changed), model(x, t, context), atol=1e-4)


def test_samples_of_a_batch_are_independent():
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
    full = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    for i in range(2):
        one = slice(i, i + 1)
        (model(x[one], t[one], context[one], mask[one]).square().mean() / 2).backward()
    for parameter, gradient in zip(model.parameters(), full, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


def test_cached_context_gives_the_same_bits():
    model = build()
    x, t, context, mask = inputs()
    cache = model.cache_context(context, mask)
    assert torch.equal(model(x, t, cache), model(x, t, context, mask))


@pytest.mark.parametrize(
    "changes",
    [
        {"num_checkpointed_blocks": 1},
        {"num_checkpointed_blocks": 3},
        {"num_checkpointed_blocks": 3, "checkpoints_keep": "attention", "attention": "sdpa"},
        {"num_checkpointed_blocks": 3, "checkpoints_keep": "products"},
        {"num_checkpointed_blocks": 3, "offload_checkpoints": True},
    ],
    ids=str,
)
def test_checkpointing_gives_the_same_bits(changes):
    x, t, context, mask = inputs()
    gradients = []
    for checkpointing in ({"attention": changes.get("attention", "auto")}, changes):
        model = build(dataclasses.replace(TINY, **checkpointing))
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


class LiveBytesOn(LiveBytes):
    """Counts only tensors of a type of device; fake ones have no memory of their own."""

    def __init__(self, device: str) -> None:
        self.device = device
        super().__init__([])

    def _add(self, tensors):
        super()._add(
            [each for each in tensors if isinstance(each, torch.Tensor) and each.device.type == self.device]
        )


def live_after_forward(device: str, **changes: object) -> int:
    """Return the bytes that a forward pass in bfloat16 leaves for the backward pass."""
    sizes = {"hidden_size": 64, "ffn_dim": 128, "num_heads": 4, "attention": "sdpa", "depth": 4}
    fake = FakeTensorMode() if device == "cuda" else contextlib.nullcontext()
    with fake, torch.device(device):
        model = MediaTransformer(dataclasses.replace(TINY, **sizes, **changes)).train()
        x, t, context = torch.randn(1, 4, 4, 8, 8), torch.rand(1), torch.randn(1, 5, TINY.context_dim)
        with LiveBytesOn(device) as live, torch.autocast("cpu", torch.bfloat16):
            out = model(x, t, context)
        assert out.requires_grad
        return live.live()


def test_what_checkpoints_keep_is_memory():
    kept = [
        live_after_forward("cpu", num_checkpointed_blocks=4, checkpoints_keep=keep)
        for keep in ("nothing", "attention", "products")
    ]
    kept.append(live_after_forward("cpu"))
    assert all(less < 0.9 * more for less, more in pairwise(kept)), kept


def test_inputs_of_checkpointed_blocks_leave_the_device():
    changes = {"num_checkpointed_blocks": 4}
    kept, left = (live_after_forward("cuda", **changes, offload_checkpoints=o) for o in (False, True))
    stream = 4 * 64 * 64  # tokens, features: float32
    assert 3 * stream <= kept - left <= 4 * stream


def test_autocast_keeps_time_and_positions_in_float32():
    model = build()
    x, t, context, mask = inputs()
    exact = model(x, t, context, mask)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(x, t, context, mask)
        modulation, _ = model.t_embedder(t)
    assert modulation.dtype == torch.float32
    assert torch.equal(modulation, model.t_embedder(t)[0])
    assert model.pos_embed((1, 2, 4)).dtype == torch.float32
    assert F.mse_loss(rough.float(), exact) < 1e-3 * exact.square().mean()
    rough.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_all_parameters_in_bfloat16():
    model = build().bfloat16()
    x, t, context, mask = inputs()
    assert model(x.bfloat16(), t, context.bfloat16(), mask).dtype == torch.bfloat16


def test_position_embeddings_at_every_block_or_the_first():
    x, t, context, mask = inputs()
    every = build()
    first = build(dataclasses.replace(TINY, positions="first"))
    first.load_state_dict(every.state_dict())
    assert not torch.allclose(every(x, t, context, mask), first(x, t, context, mask), atol=1e-4)
    with torch.no_grad():
        for table in every.pos_embed.parameters():
            table.zero_()
        first.load_state_dict(every.state_dict())
    torch.testing.assert_close(every(x, t, context, mask), first(x, t, context, mask))


def test_model_built_on_meta_initializes_like_an_eager_one():
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


def test_errors_for_invalid_latents():
    model = build()
    x, t, context, mask = inputs(frames=6)
    with pytest.raises(ValueError, match=r"max_positions\[T\] is 4, the latent needs 6"):
        model(x, t, context, mask)
    with pytest.raises(ValueError, match="patch"):
        model(x[..., :3, :], t, context, mask)


@pytest.mark.parametrize(
    "bad",
    [
        {"hidden_size": 0},
        {"num_heads": 3},
        {"ffn_dim": 60},
        {"patch": (1, 2)},
        {"num_checkpointed_blocks": 4},
        {"time_dim": 3},
    ],
)
def test_errors_for_invalid_configs(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        dataclasses.replace(TINY, **bad)


def test_inputs_of_fused_layers_are_not_saved_for_the_backward_pass():
    """A block with ffn_dim = 2 hidden_size saves 15 hidden_size floats per token; 27 with plain autograd."""
    saved_floats = []
    for layers in (2, 4):
        saved = {}
        model = build(dataclasses.replace(TINY, depth=layers, max_positions=(4, 8, 8)))
        video, text = torch.randn(1, 4, 4, 16, 16), torch.randn(1, 6, 24)
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x, saved=saved: saved.setdefault(x.untyped_storage().data_ptr(), x), lambda x: x
        ):
            model(video, torch.tensor([0.5]), text)
        own = {p.data_ptr() for p in model.parameters()}
        saved_floats.append(sum(x.untyped_storage().nbytes() // 4 for q, x in saved.items() if q not in own))
    assert (saved_floats[1] - saved_floats[0]) / 2 / 256 / TINY.hidden_size < 15.5


class LoRALinear(nn.Module):
    """A wrapped linear layer plus a trainable low-rank product, as LoRA libraries insert it."""

    def __init__(self, base, rank=2):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)

    def forward(self, x):
        assert type(x) is torch.Tensor
        return self.base(x) + self.up(self.down(x))


def linear_layers(model):
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}


@pytest.mark.parametrize("variant", [{}, {"ffn_kind": "gelu", "norm": "layer"}])
@pytest.mark.parametrize("packed", [False, True])
def test_hooks_and_lora_on_every_linear_layer(variant, packed):
    """Each hook sees the tensors of its layer, values are unchanged, and a step trains every adapter."""
    model = build(dataclasses.replace(TINY, cond_channels=2, **variant)).requires_grad_(False)
    x, t, context, mask = inputs()
    cond = torch.randn(2, 2, 2, 4, 8, generator=torch_generator(1, "test.transformer"))

    def run():
        if packed:
            return torch.stack(model.forward_packed(list(x), t, context, mask))
        return model(x, t, context, mask, cond)

    expected = run()
    names = [name for name in linear_layers(model) if not (packed and name == "cond_embed")]
    calls = dict.fromkeys(names, 0)
    for name in names:
        layer = model.get_submodule(name)

        def count(module, args, output, name=name):
            assert type(args[0]) is type(output) is torch.Tensor
            calls[name] += 1

        layer.register_forward_hook(count)
        parent, _, child = name.rpartition(".")
        adapter = LoRALinear(layer)
        nn.init.zeros_(adapter.up.weight)
        setattr(model.get_submodule(parent), child, adapter)
    torch.testing.assert_close(run(), expected)
    assert set(calls.values()) == {1}
    adapters = [module for module in model.modules() if isinstance(module, LoRALinear)]
    assert len(adapters) == len(names)
    for adapter in adapters:
        nn.init.normal_(adapter.up.weight, std=0.1)
    trainable = [p for p in model.parameters() if p.requires_grad]
    before = [p.clone() for p in trainable]
    optimizer = torch.optim.SGD(trainable, lr=0.1)
    run().square().mean().backward()
    optimizer.step()
    assert len(trainable) == 2 * len(names)
    assert all(p.grad.abs().sum() > 0 for p in trainable)
    assert not any(torch.equal(a, b) for a, b in zip(before, trainable, strict=True))
