from pathlib import Path

import pytest
import torch

from src.core import config
from src.flow.noise import torch_generator
from src.models.tae.config import TAEConfig
from src.models.tae.model import TAE
from src.runs.config import TAERunConfig

SMALL = dict(channels=(8, 16, 16, 24), num_blocks=1, num_norm_groups=4, latent_channels=4)
TINY = dict(
    channels=(8, 16, 16, 32),
    patch=2,
    spatial_down=(2, 2, 1),
    norm="layer",
    shortcuts=True,
    zero_residual=True,
    num_blocks=1,
)


def build(seed=0, **kwargs):
    torch.manual_seed(seed)
    return TAE(TAEConfig(**{**SMALL, **kwargs})).eval()


def make_video(frames, size=16, batch=1, seed=1):
    return torch.rand(batch, 3, frames, size, size, generator=torch_generator(seed, "film")) * 2 - 1


def perturbed(model, seed=2):
    """Perturb every parameter, so that zeros and identities at initialization hide nothing."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=torch_generator(seed, name)))
    return model


@pytest.mark.parametrize("structure", ["2.5d", "3d"])
@pytest.mark.parametrize("frames", [1, 2, 7, 8, 9, 16, 17])
def test_number_of_latent_frames_and_decoded_frames(structure, frames):
    model = build(structure=structure)
    with torch.no_grad():
        out = model(make_video(frames))
    assert out.latent_BCTHW.shape == (1, 4, -(-frames // 8), 2, 2)
    assert out.latent_BCTHW.shape[1:] == model.latent_shape(frames, 16, 16)
    assert out.video_BCTHW.shape == (1, 3, frames, 16, 16)


def test_surplus_frames_are_dropped_at_the_end():
    model = perturbed(build())
    latent = torch.randn(1, 4, 2, 2, 2, generator=torch_generator(3, "latent"))
    with torch.no_grad():
        full, part = model.decode(latent), model.decode(latent, 11)
    torch.testing.assert_close(part, full[:, :, :11], rtol=0, atol=0)
    for wrong in (0, 8, 17):
        with pytest.raises(ValueError, match=rf"num_frames must be 9 to 16 for .* got {wrong}"):
            model.decode(latent, wrong)


@pytest.mark.parametrize("kwargs", [{}, {"attention": False}, {"structure": "3d"}])
def test_initialization_equals_the_frame_wise_autoencoder(kwargs):
    """Each latent frame is the frame-wise latent of frame 8k, and decodes to 8 equal frames."""
    video, ours = build(**kwargs), build(**{**kwargs, "structure": "frame", "temporal_down": (1, 1, 1)})
    weights = video.state_dict()
    for name, value in ours.state_dict().items():
        source = next(n for n in (name, with_spatial(name)) if n in weights)
        value.copy_(weights[source][:, :, 1] if weights[source].dim() == 5 else weights[source])
    x = make_video(17, batch=2)
    with torch.no_grad():
        latent, frame_latent = video.encode(x), ours.encode(x[:, :, ::8])
        torch.testing.assert_close(latent.mean_BCTHW, frame_latent.mean_BCTHW, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(latent.logvar_BCTHW, frame_latent.logvar_BCTHW, rtol=1e-4, atol=1e-5)
        y, y_frames = video.decode(latent.mode()), ours.decode(frame_latent.mode())
    torch.testing.assert_close(y, y_frames.repeat_interleave(8, 2), rtol=1e-4, atol=1e-5)


def with_spatial(name):
    parent, leaf = name.rsplit(".", 1)
    return f"{parent}.0.{leaf}"


def test_image_equals_a_static_video_for_any_weights():
    """Replicate padding: a static video has the latent of the image in every latent frame."""
    model = perturbed(build())
    image = make_video(1)
    with torch.no_grad():
        one = model.encode(image).mean_BCTHW
        many = model.encode(image.expand(-1, -1, 24, -1, -1)).mean_BCTHW
    torch.testing.assert_close(many, one.expand(-1, -1, 3, -1, -1), rtol=1e-3, atol=1e-4)


def test_perturbed_temporal_layers_mix_frames():
    model = perturbed(build(attention=False))
    x = make_video(16)
    swapped = x.clone()
    swapped[:, :, 3] = x[:, :, 4]
    with torch.no_grad():
        assert (model.encode(x).mean_BCTHW - model.encode(swapped).mean_BCTHW).abs().max() > 1e-3


def test_block_counts_follow_the_config():
    model = build(num_finest_blocks=0, num_blocks=2, num_decoder_blocks=1, num_mid_blocks=3)
    count = [sum(type(m).__name__ == "ResBlock" for m in level.modules()) for level in model.encoder.levels]
    assert count == [0, 2, 2, 2]
    assert sum(type(m).__name__ == "ResBlock" for m in model.decoder.modules()) == 4 + 1 + 3
    assert sum(type(m).__name__ == "Attention" for m in model.encoder.modules()) == 2 * 3
    owned = {id(p) for group in model.shard_groups() for p in group.parameters()}
    assert owned == {id(p) for p in model.parameters()}
    assert all(list(group.parameters()) for group in model.shard_groups())


def test_initial_std_of_the_posterior():
    x = make_video(8)
    with torch.no_grad():
        one, small = build().encode(x), build(initial_std=0.1).encode(x)
    torch.testing.assert_close(small.std_BCTHW, 0.1 * one.std_BCTHW)
    torch.testing.assert_close(small.mean_BCTHW, one.mean_BCTHW)


@pytest.mark.parametrize("kwargs", [{}, TINY, {"structure": "3d"}])
def test_meta_build_then_reset_equals_eager_initialization(kwargs):
    eager = build(seed=5, **kwargs)
    with torch.device("meta"):
        model = TAE(TAEConfig(**{**SMALL, **kwargs}))
    model.to_empty(device="cpu")
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(float("nan"))
    for module in model.modules():
        if list(module.parameters(recurse=False)) or list(module.buffers(recurse=False)):
            module.reset_parameters()
    for (name, a), (_, b) in zip(model.named_parameters(), eager.named_parameters(), strict=True):
        assert torch.isfinite(a).all(), name
        torch.testing.assert_close(a.std(), b.std(), rtol=0.3, atol=0.05, equal_nan=True, msg=name)


@pytest.mark.parametrize("kwargs", [{}, TINY, {"checkpoint": True}])
def test_every_parameter_gets_a_gradient(kwargs):
    model = perturbed(build(**kwargs)).train()
    out = model(make_video(9, batch=2), torch.zeros(2, SMALL["latent_channels"], 2, 2, 2))
    loss = (out.video_BCTHW**2).mean() + out.posterior.kl().mean()
    loss.backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


def test_checkpointing_gives_the_same_gradients():
    x, gradients = make_video(9), []
    for flag in (False, True):
        model = perturbed(build(checkpoint=flag)).train()
        model(x).video_BCTHW.square().mean().backward()
        gradients.append([p.grad for p in model.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_shortcuts_carry_a_mean_video_through_at_step_0():
    """With residuals and convolutions at zero, only the shortcuts remain: an average, repeated."""
    model = build(**TINY)
    with torch.no_grad():
        for half in (model.encoder, model.decoder):
            for level in half.levels:
                for p in level.parameters():
                    p.zero_()
        x = torch.randn(16, 1, 8, 8, 8)
        down = x
        for level in model.encoder.levels[1:3]:
            down = level(down)
    assert down.shape == (4, 1, 16, 2, 2)
    torch.testing.assert_close(down.mean(), x.mean(), rtol=1e-3, atol=1e-4)


def test_stateless():
    model = perturbed(build())
    x = make_video(9)
    with torch.no_grad():
        first = model(x).video_BCTHW
        model(make_video(24, size=24, batch=2))
        torch.testing.assert_close(model(x).video_BCTHW, first, rtol=0, atol=0)


@pytest.mark.parametrize(
    "kwargs", [{}, TINY, {"structure": "3d"}, {"norm": "layer"}, {"zero_residual": True}]
)
@pytest.mark.parametrize("autocast", [False, True])
def test_inference_equals_training_forward(kwargs, autocast):
    """In-place operations must not modify the video, its latent or a block's input."""
    model, x = perturbed(build(**kwargs)).eval(), make_video(9, batch=2)
    original = x.clone()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        slow = model(x)
        with torch.no_grad():
            fast = model(x)
            z = slow.latent_BCTHW.detach().clone()
            model.decode(z, 9)
    close = {"rtol": 1e-3, "atol": 1e-4} if not autocast else {"rtol": 0.05, "atol": 0.05}
    torch.testing.assert_close(fast.video_BCTHW, slow.video_BCTHW.detach(), **close)
    torch.testing.assert_close(fast.posterior.mean_BCTHW, slow.posterior.mean_BCTHW.detach(), **close)
    torch.testing.assert_close(x, original, rtol=0, atol=0)
    torch.testing.assert_close(z, slow.latent_BCTHW.detach(), rtol=0, atol=0)


TWO_LEVELS = {
    "channels": (8, 8),
    "spatial_down": (2,),
    "temporal_down": (2,),
}  # compiling takes seconds a level


@pytest.mark.slow
def test_training_compiles_to_one_graph():
    model, x = perturbed(build(**TWO_LEVELS, checkpoint=True)).train(), make_video(3, size=8)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    model(x).video_BCTHW.square().mean().backward()
    plain = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    compiled(x).video_BCTHW.square().mean().backward()
    for p, grad in zip(model.parameters(), plain, strict=True):
        torch.testing.assert_close(p.grad, grad, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_inference_compiles_to_one_graph():
    model, x = perturbed(build(**TWO_LEVELS)), make_video(3, size=8)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x).video_BCTHW, model(x).video_BCTHW, rtol=1e-3, atol=1e-4)


def test_posterior_noise_is_an_argument():
    model = perturbed(build())
    x, noise = make_video(8), torch.randn(1, 4, 1, 2, 2)
    with torch.no_grad():
        out = model(x, noise)
        p = out.posterior
    torch.testing.assert_close(out.latent_BCTHW, p.mean_BCTHW + p.std_BCTHW * noise)
    normal = torch.distributions.Normal(p.mean_BCTHW, p.std_BCTHW)
    exact = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum((1, 2, 3, 4))
    torch.testing.assert_close(p.kl(), exact, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 0, 16, 16), "empty video"),
        ((1, 4, 8, 16, 16), r"\[batch, 3, frames, H, W\]"),
        ((3, 8, 16, 16), r"\[batch, 3, frames, H, W\]"),
        ((1, 3, 8, 17, 16), "must be a multiple of 8, got 17x16; 16x16 or 24x16 works"),
        ((1, 3, 8, 4, 8), "must be a multiple of 8, got 4x8; 8x8 or 8x8 works"),
    ],
)
def test_errors_for_invalid_videos(shape, message):
    with pytest.raises(ValueError, match=message):
        build().encode(torch.zeros(shape))


def test_error_for_wrong_latent_channels():
    with pytest.raises(ValueError, match=r"latent must have 4 channels .* got 5"):
        build().decode(torch.zeros(1, 5, 1, 2, 2))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"channels": ()}, "channels"),
        ({"channels": (8, 16)}, "spatial_down"),
        ({"temporal_down": (2, 2, 4)}, "temporal_down"),
        ({"structure": "frame"}, "temporal_down.*structure=frame"),
        ({"temporal_kernel": 4}, "temporal_kernel must be odd, got 4"),
        ({"decoder_channels": (8,)}, "decoder_channels"),
        ({"latent_channels": 0}, "latent_channels must be at least 1, got 0"),
        ({"num_finest_blocks": -1}, "num_finest_blocks must be at least 0, got -1"),
        ({"initial_std": 0.0}, "initial_std must be more than 0, got 0.0"),
        ({"num_attention_heads": 5}, "num_attention_heads must divide .* 24, got 5"),
        (
            {"shortcuts": True, "channels": (8, 16, 16, 23)},
            "shortcuts need channels that divide each other: 23",
        ),
    ],
)
def test_errors_for_invalid_configs(kwargs, message):
    with pytest.raises(ValueError, match=message):
        TAEConfig(**{**SMALL, **kwargs})


def test_paper_size():
    """The default config on the meta device: encoder and decoder of SD3.5 plus temporal layers."""
    shipped = config.load(
        TAERunConfig, Path(__file__).resolve().parents[4] / "configs" / "paper" / "tae.yaml"
    )
    with torch.device("meta"):
        model, image = TAE(shipped.model), TAE(TAEConfig(structure="frame", temporal_down=(1, 1, 1)))
    assert (shipped.model.temporal_factor, shipped.model.spatial_factor) == (8, 8)
    weights = {name: stream.weight for name, stream in shipped.data.streams.items()}
    assert weights == {"videos": 3, "images": 1}
    assert (shipped.losses.opl_weight, shipped.losses.opl_r) == (1e5, 3.0)
    count = {m: sum(p.numel() for p in m.parameters()) for m in (model, image)}
    assert count[image] == 83_819_683  # diffusers' AutoencoderKL of SD3.5's shape has as many
    assert count[model] == 114_062_049
    groups = model.shard_groups()
    owned = {id(p) for g in groups for p in g.parameters()}
    assert owned == {id(p) for p in model.parameters()}
