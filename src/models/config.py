"""Configs of the networks in the TAE's loss: discriminator and perceptual features; imports no torch."""

from dataclasses import dataclass
from typing import Literal

from src.core.fields import Config, opt


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig(Config):
    """A PatchGAN over single frames (`2d`) or over space and time (`3d`)."""

    kind: Literal["2d", "3d"] = opt("2d", "discriminate frame by frame (2d), or over space and time (3d)")
    in_channels: int = opt(3, "channels of the pixels", ge=1)
    base_channels: int = opt(
        64, "channels after the first layer; doubled at each layer, at most eightfold", ge=1
    )
    num_layers: int = opt(3, "number of layers that halve the resolution", ge=1)


@dataclass(frozen=True, kw_only=True)
class PerceptualFeaturesConfig(Config):
    """Feature network of the perceptual loss. Its metric is named after it."""

    network: Literal["lpips_vgg", "lpips_alex", "efflite0"] = opt(
        "lpips_vgg",
        "LPIPS on VGG-16 or AlexNet (weights needed), or plain features of EfficientNet-Lite0 (not LPIPS)",
    )
    weights: str = opt(
        "", "file of the backbone's weights: torchvision's for lpips; empty for efflite0: its package's own"
    )
