"""Convert image autoencoders of diffusers (`AutoencoderKL` of Stable Diffusion 3) to frame-wise TAEs.

Only names differ: the same weights in our frame-wise structure compute the same function, and `inflate` makes
a video model of them. Requires `use_quant_conv: false`, as in SD3.5.
"""

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from src.models.tae.config import TAEConfig

MARK = re.compile(r"(en|de)coder\.(down|up)_blocks\.\d+\.resnets\.")
PARTS = {
    "conv_in": "conv_in",
    "conv_out": "conv_out",
    "conv_norm_out": "norm_out",
    "mid_block.resnets.0": "mid.block",
    "mid_block.resnets.1": "mid.blocks.0.block",
    "mid_block.attentions.0.group_norm": "mid.blocks.0.spatial_attention.norm",
    "mid_block.attentions.0.to_out.0": "mid.blocks.0.spatial_attention.out",
}
LAYERS = {layer: layer for layer in ("norm1", "conv1", "norm2", "conv2")} | {"conv_shortcut": "shortcut"}
BLOCK = re.compile(r"(?:down|up)_blocks\.(\d+)\.(resnets|downsamplers|upsamplers)\.(\d+)")


def is_diffusers(weights: Mapping[str, Tensor]) -> bool:
    """Return whether the names are those of a diffusers autoencoder."""
    return any(MARK.match(name) for name in weights)


def from_diffusers(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of an `AutoencoderKL` under the names of a `TAE` with `structure=frame`.

    Raises:
        ValueError: a tensor that a frame-wise TAE does not have; the message names it.
    """
    last = {"encoder": 0, "decoder": 0}  # highest index of a residual block in a level
    for name in weights:
        half, _, rest = name.partition(".")
        if (found := BLOCK.match(rest)) and found[2] == "resnets":
            last[half] = max(last[half], int(found[3]))
    converted: dict[str, Tensor] = {}
    attention: dict[str, dict[str, Tensor]] = {}
    for name, value in weights.items():
        half, _, rest = name.partition(".")
        layer, _, kind = rest.rpartition(".")
        if layer.startswith("mid_block.attentions.0.to_") and layer[-1] in "qkv":
            attention.setdefault(f"{half}.mid.blocks.0.spatial_attention.qkv.{kind}", {})[layer[-1]] = value
        else:
            converted[f"{half}.{_layer(name, half, layer, last)}.{kind}"] = value
    for name, parts in attention.items():
        if len(parts) != 3:
            raise ValueError(f"attention of {name.partition('.')[0]} lacks one of to_q, to_k, to_v")
        converted[name] = torch.cat([parts[part] for part in "qkv"])
    return converted


def _layer(name: str, half: str, layer: str, last: Mapping[str, int]) -> str:
    """Return our name of a layer within its half (encoder or decoder)."""
    if layer in PARTS:
        return PARTS[layer]
    path, _, leaf = layer.rpartition(".")
    if half in last and path in PARTS and leaf in LAYERS:
        return f"{PARTS[path]}.{LAYERS[leaf]}"
    found = BLOCK.fullmatch(path)
    if half in last and found and (leaf in LAYERS or leaf == "conv"):
        level, number = int(found[1]), int(found[3])
        if (
            found[2] == "resnets"
        ):  # our levels begin with the downsampling that ends the previous level of diffusers
            first = 1 if half == "encoder" and level else 0
            return f"levels.{level}.{first + number}.{LAYERS[leaf]}"
        if found[2] == "downsamplers":
            return f"levels.{level + 1}.0.conv"
        return f"levels.{level}.{last[half] + 1}.conv"
    raise ValueError(f"{name}: not a layer of an AutoencoderKL as in Stable Diffusion 3 (without quant_conv)")


def config_from_diffusers(diffusers_config: Mapping[str, object]) -> TAEConfig:
    """Return the config of the frame-wise TAE that a diffusers `config.json` describes.

    Raises:
        ValueError: another class, or a setting that a TAE does not support; names the key and its value.
    """
    published: dict[str, Any] = dict(diffusers_config)
    kind = published.get("_class_name", "AutoencoderKL")
    if kind != "AutoencoderKL":
        raise ValueError(f"_class_name must be AutoencoderKL, got {kind}")
    for key, needed, default in (
        ("use_quant_conv", False, True),
        ("use_post_quant_conv", False, True),
        ("act_fn", "silu", "silu"),
    ):
        if published.get(key, default) != needed:
            raise ValueError(f"{key} must be {needed}, got {published.get(key, default)}")
    channels = tuple(published.get("block_out_channels", (64,)))
    steps = len(channels) - 1
    return TAEConfig(
        in_channels=published.get("in_channels", 3),
        latent_channels=published.get("latent_channels", 4),
        channels=channels,
        num_blocks=published.get("layers_per_block", 1),
        spatial_down=(2,) * steps,
        temporal_down=(1,) * steps,
        structure="frame",
        num_norm_groups=published.get("norm_num_groups", 32),
        attention=published.get("mid_block_add_attention", True),
    )


def check_same_image_model(model: TAEConfig, image: TAEConfig) -> None:
    """Check that a model processes images like the image model; equal shapes do not imply that.

    Raises:
        ValueError: names the first field that differs and both values.
    """
    temporal = {"structure", "temporal_down", "temporal_kernel", "temporal_every", "checkpoint"}
    derived = {
        "decoder_channels": "resolved_decoder_channels",
        "num_finest_blocks": "resolved_encoder_blocks",
        "num_decoder_blocks": "resolved_decoder_blocks",
    }
    for field in fields(TAEConfig):
        if field.name not in temporal:
            value, expected = (getattr(c, derived.get(field.name, field.name)) for c in (model, image))
            if value != expected:
                raise ValueError(f"{field.name} must be {expected} as in the image autoencoder, got {value}")
