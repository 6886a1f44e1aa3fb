"""Tiles against the full video: equal outside the receptive field of seams; memory of a few tiles."""

import weakref

import pytest
import torch

from src.flow.noise import torch_generator
from src.models.tae.config import TAEConfig, TilingConfig
from src.models.tae.model import TAE
from src.models.tae.tiling import (
    decode_stream,
    decode_tiled,
    encode_stream,
    encode_tiled,
    fade,
    reconstruct_stream,
)

# One temporal convolution a block and no attention: the model sees few frames to either side.
NEAR = dict(channels=(8, 8, 8), spatial_down=(2, 2), temporal_down=(2, 2), num_blocks=1, num_decoder_blocks=1)
NEAR |= dict(norm="layer", latent_channels=4, temporal_every="block", attention=False, num_norm_groups=4)


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.inference_mode():
        yield


def build(**changes) -> TAE:
    torch.manual_seed(0)
    with torch.inference_mode(False), torch.no_grad():
        model = TAE(TAEConfig(**{**NEAR, **changes})).eval()
        for name, p in model.named_parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch_generator(2, name)))
    return model


def make_video(frames: int, height: int = 8, width: int = 8) -> torch.Tensor:
    return torch.rand(1, 3, frames, height, width, generator=torch_generator(1, "film")) * 2 - 1


def reach(run, x: torch.Tensor, dim: int, at: int) -> list[int]:
    """Positions of the output that change when one position of the input does."""
    other = x.clone()
    other.select(dim, at).add_(1.0)
    change = (run(x) - run(other)).abs()
    return change.amax([d for d in range(5) if d != dim]).nonzero().flatten().tolist()


def test_video_of_one_tile_is_unchanged():
    model, x = build(), make_video(13)
    full = model(x)
    z = encode_tiled(model, x, TilingConfig())
    torch.testing.assert_close(z.mean_BCTHW, full.posterior.mean_BCTHW, rtol=0, atol=0)
    torch.testing.assert_close(z.logvar_BCTHW, full.posterior.logvar_BCTHW, rtol=0, atol=0)
    output = decode_tiled(model, z.mode(), 13, TilingConfig())
    torch.testing.assert_close(output, full.video_BCTHW, rtol=0, atol=0)


def test_tiled_encoding_equals_full_encoding_away_from_seams():
    model, x, tiling = build(), make_video(128, 4, 4), TilingConfig(frames=64, overlap=0)
    seen = reach(lambda v: model.encode(v).mean_BCTHW, x, 2, 64)
    assert seen
    full, tiled = model.encode(x).mean_BCTHW, encode_tiled(model, x, tiling).mean_BCTHW
    same = [t for t in range(32) if abs(t - 16) > max(abs(s - 16) for s in seen) + 1]
    assert len(same) > 8
    assert any(t < 16 for t in same)
    assert any(t > 16 for t in same)
    torch.testing.assert_close(tiled[:, :, same], full[:, :, same], rtol=1e-4, atol=1e-5)
    assert (tiled - full).abs()[:, :, 15:17].max() > 1e-3  # at the seam they differ


def test_tiled_decoding_equals_full_decoding_outside_the_blend():
    model, tiling = build(), TilingConfig(frames=128, overlap=16)
    z = torch.randn(1, 4, 60, 1, 1, generator=torch_generator(3, "latent"))
    seen = reach(model.decode, z, 2, 28)
    full, tiled = model.decode(z), decode_tiled(model, z, None, tiling)
    assert tiled.shape == full.shape == (1, 3, 240, 4, 4)
    margin = max(abs(s - 114) for s in seen) + 4
    # Tiles of latent frames 0-31, 28-59: blended frames are 112-127.
    same = [t for t in range(240) if t < 128 - margin - 16 or t > 112 + margin + 16]
    assert len(same) > 80
    torch.testing.assert_close(tiled[:, :, same], full[:, :, same], rtol=1e-4, atol=1e-5)
    first, second = model.decode(z[:, :, :32])[:, :, -16:], model.decode(z[:, :, 28:])[:, :, :16]
    w = ((torch.arange(16) + 0.5) / 16).view(1, 1, 16, 1, 1)
    torch.testing.assert_close(tiled[:, :, 112:128], (1 - w) * first + w * second, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 31, 32, 33, 48, 49, 65, 100])
@pytest.mark.parametrize("kwargs", [{}, {"attention": True}, {"structure": "3d"}])
def test_static_video_has_no_seams(frames, kwargs):
    """Every tile gives the same frames then, at any weights: this tests lengths and the sum of weights."""
    model = build(**kwargs)
    x = make_video(1).expand(-1, -1, frames, -1, -1)
    output = torch.cat(list(reconstruct_stream(model, [x], TilingConfig())), 2)
    torch.testing.assert_close(output, model(x).video_BCTHW, rtol=1e-3, atol=1e-4)


def test_frame_wise_models_are_equal_everywhere():
    model = build(structure="frame", temporal_down=(1, 1), attention=True)
    x = make_video(50)
    output = torch.cat(list(reconstruct_stream(model, x.split(7, 2), TilingConfig())), 2)
    torch.testing.assert_close(output, model(x).video_BCTHW, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chunk", [1, 5, 32, 200])
def test_the_length_of_the_pieces_changes_nothing(chunk):
    model, x = build(), make_video(77)
    output = torch.cat(list(reconstruct_stream(model, x.split(chunk, 2), TilingConfig())), 2)
    z = encode_tiled(model, x, TilingConfig()).mode()
    torch.testing.assert_close(output, decode_tiled(model, z, 77, TilingConfig()), rtol=1e-5, atol=1e-6)
    assert output.shape == x.shape


def test_memory_does_not_grow_with_the_length():
    """Chunks are read when needed and freed; yielded frames are not retained."""
    model, alive, most = build(), [], 0

    def chunks():
        for _ in range(40):
            chunk = make_video(8)
            alive.append(weakref.ref(chunk))
            yield chunk

    num_written = 0
    for output in reconstruct_stream(model, chunks(), TilingConfig()):
        num_written += output.shape[2]
        del output
        most = max(most, sum(r() is not None for r in alive))
        assert len(alive) * 8 - num_written <= 2 * 32 + 8
    assert num_written == 320
    assert most <= 6


def test_tiled_frames_equal_full_frames_away_from_seams():
    model, tiling = build(), TilingConfig(size=96, size_overlap=32)
    x = make_video(1, 8, 160)
    z, full = encode_tiled(model, x, tiling).mean_BCTHW, model.encode(x).mean_BCTHW
    assert z.shape == full.shape
    side = max(abs(s - 20) for s in reach(lambda v: model.encode(v).mean_BCTHW, x, 4, 80))
    same = [i for i in range(40) if i < 16 - side or i > 23 + side]
    assert len(same) > 10
    torch.testing.assert_close(z[..., same], full[..., same], rtol=1e-4, atol=1e-5)
    output, image = decode_tiled(model, full, 1, tiling), model.decode(full, 1)
    assert output.shape == image.shape
    side = max(abs(s - 82) for s in reach(lambda v: model.decode(v, 1), full, 4, 20))
    same = [i for i in range(160) if i < 64 - side or i > 95 + side]
    assert len(same) > 40
    torch.testing.assert_close(output[..., same], image[..., same], rtol=1e-4, atol=1e-5)
    turned = decode_tiled(model, full.transpose(3, 4), 1, tiling)  # and along the height
    rows = model.decode(full.transpose(3, 4), 1)
    torch.testing.assert_close(turned[:, :, :, same], rows[:, :, :, same], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (20, 36), (40, 12), (44, 44)])
def test_frames_of_any_size_are_covered_once(height, width):
    """A model that only permutes pixels is reproduced exactly: squares are in order."""
    model = build(structure="frame", temporal_down=(1, 1))
    model.decode = lambda z: z[:, :3].repeat_interleave(4, 3).repeat_interleave(4, 4)
    z = torch.randn(1, 4, 1, height // 4, width // 4)
    tiling = TilingConfig(frames=4, overlap=0, size=16, size_overlap=4)
    output = decode_tiled(model, z, 1, tiling)
    torch.testing.assert_close(output, model.decode(z))


def test_the_blend_is_linear_and_the_same_in_both_directions():
    old, new = torch.zeros(1, 1, 4), torch.ones(1, 1, 4)
    assert fade(old, new, 2).flatten().tolist() == [0.125, 0.375, 0.625, 0.875]
    torch.testing.assert_close(fade(old, new, 2), fade(new, old, 2).flip(2))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"frames": 0}, "frames must be at least 1, got 0"),
        ({"overlap": 32}, "overlap must be below frames=32, got 32"),
        ({"overlap": -1}, "overlap must be at least 0, got -1"),
        ({"size": 64, "size_overlap": 64}, "size_overlap must be below size=64, got 64"),
        ({"frames": 30, "overlap": 4}, "frames must be a multiple of 4, got 30"),
        ({"overlap": 6}, "overlap must be a multiple of 4, got 6"),
        ({"size": 66}, "size must be a multiple of 4, got 66"),
        ({"size": 64, "size_overlap": 6}, "size_overlap must be a multiple of 4, got 6"),
    ],
)
def test_errors_for_invalid_tiles(kwargs, message):
    with pytest.raises(ValueError, match=message):
        encode_tiled(build(), make_video(4), TilingConfig(**kwargs))
    with pytest.raises(ValueError, match=message):
        list(decode_stream(build(), [torch.zeros(1, 4, 1, 2, 2)], TilingConfig(**kwargs)))


def test_errors_for_invalid_videos():
    bad = make_video(40)
    bad[0, 1, 37, 2, 2] = float("nan")
    with pytest.raises(ValueError, match="video has NaN or infinite pixels in frames 32 to 39"):
        list(encode_stream(build(), bad.split(3, 2), TilingConfig()))
    with pytest.raises(ValueError, match="video has no frames"):
        list(encode_stream(build(), [], TilingConfig()))
    with pytest.raises(ValueError, match=r"\[batch, 3, frames, H, W\]"):
        list(encode_stream(build(), [torch.zeros(1, 4, 8, 8, 8)], TilingConfig()))
