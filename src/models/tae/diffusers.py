"""Image autoencoders in diffusers' layout (`AutoencoderKL` as of Stable Diffusion 3) as frame-wise TAEs.

Only names differ: the same weights in our frame-wise structure compute the same function, and `inflate` takes
them on to films. Files without quantisation convolutions only (`use_quant_conv: false`, as in SD3.5).
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
    "mid_block.resnets.0": "middle.block",
    "mid_block.resnets.1": "middle.rounds.0.block",
    "mid_block.attentions.0.group_norm": "middle.rounds.0.over_space.norm",
    "mid_block.attentions.0.to_out.0": "middle.rounds.0.over_space.out",
}
LAYERS = {layer: layer for layer in ("norm1", "conv1", "norm2", "conv2")} | {"conv_shortcut": "shortcut"}
BLOCK = re.compile(r"(?:down|up)_blocks\.(\d+)\.(resnets|downsamplers|upsamplers)\.(\d+)")


def is_diffusers(weights: Mapping[str, Tensor]) -> bool:
    """True for the names of a diffusers autoencoder."""
    return any(MARK.match(name) for name in weights)


def from_diffusers(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of an `AutoencoderKL` under the names of a `TAE` with `structure=frame`.

    Raises:
        ValueError: a tensor that no frame-wise TAE has; the message names it.
    """
    last = {"encoder": 0, "decoder": 0}  # the highest number of a residual block in a level
    for name in weights:
        half, _, rest = name.partition(".")
        if (found := BLOCK.match(rest)) and found[2] == "resnets":
            last[half] = max(last[half], int(found[3]))
    ours: dict[str, Tensor] = {}
    attention: dict[str, dict[str, Tensor]] = {}
    for name, value in weights.items():
        half, _, rest = name.partition(".")
        layer, _, kind = rest.rpartition(".")
        if layer.startswith("mid_block.attentions.0.to_") and layer[-1] in "qkv":
            attention.setdefault(f"{half}.middle.rounds.0.over_space.qkv.{kind}", {})[layer[-1]] = value
        else:
            ours[f"{half}.{_layer(name, half, layer, last)}.{kind}"] = value
    for name, parts in attention.items():
        if len(parts) != 3:
            raise ValueError(f"attention of {name.partition('.')[0]} lacks one of to_q, to_k, to_v")
        ours[name] = torch.cat([parts[part] for part in "qkv"])
    return ours


def _layer(name: str, half: str, layer: str, last: Mapping[str, int]) -> str:
    """Our name of one layer within its half."""
    if layer in PARTS:
        return PARTS[layer]
    path, _, leaf = layer.rpartition(".")
    if half in last and path in PARTS and leaf in LAYERS:
        return f"{PARTS[path]}.{LAYERS[leaf]}"
    found = BLOCK.fullmatch(path)
    if half in last and found and (leaf in LAYERS or leaf == "conv"):
        level, number = int(found[1]), int(found[3])
        if found[2] == "resnets":  # a level of ours begins with its downsampling, which ends one of theirs
            first = 1 if half == "encoder" and level else 0
            return f"levels.{level}.{first + number}.{LAYERS[leaf]}"
        if found[2] == "downsamplers":
            return f"levels.{level + 1}.0.conv"
        return f"levels.{level}.{last[half] + 1}.conv"
    raise ValueError(f"{name} is in no autoencoder of Stable Diffusion 3's layout (without quant_conv)")


def config_of(published: Mapping[str, Any]) -> TAEConfig:
    """The frame-wise TAE that a diffusers `config.json` describes.

    Raises:
        ValueError: another kind of model, or one that a TAE cannot be; names the key and its value.
    """
    kind = published.get("_class_name", "AutoencoderKL")
    if kind != "AutoencoderKL":
        raise ValueError(f"_class_name: {kind} is not an AutoencoderKL")
    for key, needed, default in (
        ("use_quant_conv", False, True),
        ("use_post_quant_conv", False, True),
        ("act_fn", "silu", "silu"),
    ):
        if published.get(key, default) != needed:
            raise ValueError(f"{key}: {published.get(key, default)} is not supported, only {needed} is")
    widths = tuple(published.get("block_out_channels", (64,)))
    steps = len(widths) - 1
    return TAEConfig(
        in_channels=published.get("in_channels", 3),
        latent_channels=published.get("latent_channels", 4),
        widths=widths,
        blocks=published.get("layers_per_block", 1),
        spatial_down=(2,) * steps,
        temporal_down=(1,) * steps,
        structure="frame",
        norm_groups=published.get("norm_num_groups", 32),
        attention=published.get("mid_block_add_attention", True),
    )


def check_same_pictures(model: TAEConfig, image: TAEConfig) -> None:
    """Refuse a model that would not treat pictures as the image model does, even where all shapes agree.

    Raises:
        ValueError: names the first key that differs and both values.
    """
    temporal = {"structure", "temporal_down", "temporal_kernel", "temporal_every", "checkpoint"}
    derived = {
        "decoder_widths": "widths_decoder",
        "finest_blocks": "blocks_encoder",
        "decoder_blocks": "blocks_decoder",
    }
    for field in fields(TAEConfig):
        if field.name not in temporal:
            ours, theirs = (getattr(c, derived.get(field.name, field.name)) for c in (model, image))
            if ours != theirs:
                raise ValueError(f"{field.name}: {ours} here, the image autoencoder has {theirs}")
