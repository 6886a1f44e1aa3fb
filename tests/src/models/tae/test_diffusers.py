"""Weights of diffusers: our frame-wise model and the inflated one reconstruct images identically."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from src.core.errors import UserError
from src.experiments.tae import check_image_autoencoder
from src.models.tae.config import TAEConfig
from src.models.tae.diffusers import config_from_diffusers, from_diffusers
from src.models.tae.model import TAE
from src.training.init_weights import InitFrom, load_weights
from tests.fixtures.toy_modules import tae_module, train_config

SHAPE = {
    "block_out_channels": (8, 16, 24, 24),
    "layers_per_block": 2,
    "latent_channels": 4,
    "norm_num_groups": 4,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}


def with_random_values(shapes: dict[str, torch.Size]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: 0.2 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def published_names(widths: tuple[int, ...], blocks: int, latent: int) -> dict[str, torch.Size]:
    """Names and shapes of an AutoencoderKL's tensors, written down from its published layout."""
    found: dict[str, torch.Size] = {}

    def layer(name: str, outputs: int, *rest: int) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = torch.Size((outputs, *rest)), torch.Size((outputs,))

    def block(name: str, inputs: int, outputs: int) -> None:
        layer(f"{name}.norm1", inputs)
        layer(f"{name}.conv1", outputs, inputs, 3, 3)
        layer(f"{name}.norm2", outputs)
        layer(f"{name}.conv2", outputs, outputs, 3, 3)
        if inputs != outputs:
            layer(f"{name}.conv_shortcut", outputs, inputs, 1, 1)

    for half, order in (("encoder", widths), ("decoder", widths[::-1])):
        pixels = half == "encoder"
        layer(f"{half}.conv_in", order[0], 3 if pixels else latent, 3, 3)
        kind, change = ("down", "downsamplers") if pixels else ("up", "upsamplers")
        inputs = order[0]
        for i, width in enumerate(order):
            for j in range(blocks if pixels else blocks + 1):
                block(f"{half}.{kind}_blocks.{i}.resnets.{j}", inputs, width)
                inputs = width
            if i < len(order) - 1:
                layer(f"{half}.{kind}_blocks.{i}.{change}.0.conv", width, width, 3, 3)
        for j in range(2):
            block(f"{half}.mid_block.resnets.{j}", widths[-1], widths[-1])
        layer(f"{half}.mid_block.attentions.0.group_norm", widths[-1])
        for part in ("to_q", "to_k", "to_v", "to_out.0"):
            layer(f"{half}.mid_block.attentions.0.{part}", widths[-1], widths[-1])
        layer(f"{half}.conv_norm_out", order[-1])
        layer(f"{half}.conv_out", 2 * latent if pixels else 3, order[-1], 3, 3)
    return found


def weights() -> dict[str, torch.Tensor]:
    return with_random_values(published_names(SHAPE["block_out_channels"], 2, 4))


def small(**changes: object) -> TAEConfig:
    return TAEConfig(
        **{
            **dict(channels=(8, 16, 24, 24), num_blocks=2, latent_channels=4, num_norm_groups=4),
            **changes,
        }
    )


def test_every_tensor_has_its_place() -> None:
    config = config_from_diffusers(json.loads(json.dumps(SHAPE)))
    model = TAE(config)
    model.load_state_dict(from_diffusers(weights()))  # strict: no tensor missing, none left over
    assert config.structure == "frame"


def test_reconstructions_equal_those_of_diffusers() -> None:
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, **SHAPE
    ).eval()
    theirs.load_state_dict(weights())
    ours = TAE(config_from_diffusers(theirs.config)).eval()
    ours.load_state_dict(from_diffusers(theirs.state_dict()))
    x_NCHW = torch.rand(2, 3, 24, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        posterior, expected = ours.encode(x_NCHW[:, :, None]), theirs.encode(x_NCHW).latent_dist
        torch.testing.assert_close(posterior.mean_BCTHW[:, :, 0], expected.mean, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(posterior.logvar_BCTHW[:, :, 0], expected.logvar, rtol=1e-4, atol=1e-4)
        output = ours.decode(posterior.mode())[:, :, 0]
        torch.testing.assert_close(output, theirs.decode(expected.mean).sample, rtol=1e-4, atol=1e-4)


def test_a_video_run_starts_as_the_image_model(tmp_path: Path) -> None:
    save_file(weights(), tmp_path / "image.safetensors")
    module = tae_module(train_config(), tae=small())
    report = load_weights(module, InitFrom(tmp_path / "image.safetensors"))
    assert not report.dropped
    image = TAE(small(structure="frame", temporal_down=(1, 1, 1))).eval()
    image.load_state_dict(from_diffusers(weights()))
    x_NCHW = torch.rand(1, 3, 1, 16, 16) * 2 - 1
    with torch.no_grad():
        ours, theirs = module.tae.eval()(x_NCHW), image(x_NCHW)
    torch.testing.assert_close(
        ours.posterior.logvar_BCTHW, theirs.posterior.logvar_BCTHW, rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(ours.video_BCTHW, theirs.video_BCTHW, rtol=1e-4, atol=1e-4)


def test_errors_for_other_layouts(tmp_path: Path) -> None:
    module = tae_module(train_config(), tae=small())
    for change, message in (
        (
            {"quant_conv.weight": torch.zeros(8, 8, 1, 1)},
            "quant_conv.weight: not a layer of an AutoencoderKL",
        ),
        ({"decoder.up_blocks.1.resnets.0.time_emb.weight": torch.zeros(1)}, "time_emb.weight: not a layer"),
        (
            {"encoder.conv_in.weight": torch.zeros(9, 3, 3, 3)},
            r"encoder.conv_in.0.weight has shape \[9, 3, 3, 3\]",
        ),
    ):
        save_file(weights() | change, tmp_path / "image.safetensors")
        with pytest.raises(UserError, match=message):
            load_weights(module, InitFrom(tmp_path / "image.safetensors"))
    partial = {
        name: value for name, value in weights().items() if "encoder.mid_block.attentions.0.to_k" not in name
    }
    save_file(partial, tmp_path / "image.safetensors")
    with pytest.raises(UserError, match="attention of encoder lacks one of to_q, to_k, to_v"):
        load_weights(module, InitFrom(tmp_path / "image.safetensors"))


@pytest.mark.parametrize(
    ("published", "model", "message"),
    [
        ({}, {}, None),
        ({"norm_num_groups": 2}, {}, "num_norm_groups must be 2 as in the image autoencoder, got 4"),
        (
            {"block_out_channels": (8, 8, 24, 24)},
            {},
            r"channels must be \(8, 8, 24, 24\) as in .* got \(8, 16, 24, 24\)",
        ),
        ({}, {"norm": "rms"}, "norm must be group as in the image autoencoder, got rms"),
        ({}, {"num_decoder_blocks": 2}, "num_decoder_blocks must be 3 as in the image autoencoder, got 2"),
        ({"use_quant_conv": True}, {}, "use_quant_conv must be False, got True"),
        ({"_class_name": "AutoencoderDC"}, {}, "_class_name must be AutoencoderKL, got AutoencoderDC"),
    ],
)
def test_config_json_must_match(
    tmp_path: Path, published: dict[str, object], model: dict[str, object], message: str | None
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**SHAPE, **published}))
    path = tmp_path / "image.safetensors"
    save_file({"any": torch.zeros(1)}, path)
    if message is None:
        check_image_autoencoder(path, small(**model))
        return
    with pytest.raises(UserError, match=message):
        check_image_autoencoder(path, small(**model))
