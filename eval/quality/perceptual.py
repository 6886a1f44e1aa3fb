"""Perceptual distances to a reference: LPIPS and DISTS (torchmetrics), with backbones given by path."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.backbones.checksummed_weights import Network, load_state
from eval.core.frame_metric import PairMetric
from eval.core.frame_pairs import describe_conversion
from eval.core.frame_source import StreamInfo
from eval.core.frame_tasks import PairTask
from eval.core.pairs_config import PairsConfig
from eval.core.results import Item, Measurement, Score

if TYPE_CHECKING:
    import torch

BLOCK = 4  # frames at once


class Perceptual(PairMetric):
    """Mean distance of frames to those of `reference`.

    `lpips_vgg` and `lpips_alex`: Zhang et al. 2018, version 0.1, frames in [-1, 1]; `dists`: Ding et al.
    2020, frames in [0, 1]. The published linear heads come with torchmetrics.
    """

    def __init__(self, name: str, network: Network, pairs: PairsConfig | None = None) -> None:
        super().__init__(pairs)
        self.name, self.network = name, network
        self.scores = {name: Score(-1, "", "distance to the reference's frames, mean over frames")}

    def describe(self) -> dict[str, Any]:
        return {
            **self.network.describe(),
            "preprocessing": describe_conversion(self.pairs),
            "torchmetrics": version("torchmetrics"),
            "reference": "the sample's own",
        }

    def observe_pairs(self, item: Item, info: StreamInfo) -> PairTask:
        values_T, block = [], list[tuple[np.ndarray, np.ndarray]]()
        while (pair := (yield)) is not None:
            block.append((pair[0].rgb_HWC, pair[1].rgb_HWC))
            if len(block) == BLOCK:
                values_T.append(self._distances(*map(np.stack, zip(*block, strict=True))))
                block = []
        if block:
            values_T.append(self._distances(*map(np.stack, zip(*block, strict=True))))
        return Measurement({self.name: float(np.concatenate(values_T).mean())})

    def _distances(self, generated_THWC: np.ndarray, reference_THWC: np.ndarray) -> np.ndarray:
        import torch

        pair = [
            torch.from_numpy(each.astype(np.float32) / 255).permute(0, 3, 1, 2)
            for each in (generated_THWC, reference_THWC)
        ]
        with torch.inference_mode():
            try:
                found = self.model(*(pair if self.name == "dists" else (2 * each - 1 for each in pair)))
            except RuntimeError as error:  # frames too small for the strides of the network
                size = "x".join(map(str, generated_THWC.shape[1:3]))
                raise ValueError(
                    f"{self.name}: failed on frames of {size} ({str(error).splitlines()[0]})"
                ) from None
        return found.reshape(-1).numpy()

    @cached_property
    def model(self) -> "torch.nn.Module":
        from torchmetrics.functional.image.dists import DISTSNetwork
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        with torchvision_weights(self.network):
            if self.name == "dists":
                return DISTSNetwork().eval()
            kind: Any = self.name.removeprefix("lpips_")
            return LearnedPerceptualImagePatchSimilarity(net_type=kind).net.eval()


@contextmanager
def torchvision_weights(network: Network) -> Iterator[None]:
    """Let torchvision find a role's file in place of its own download, so nothing is downloaded.

    Raises:
        ValueError: the file is not a state dict of that network.
    """
    import torch
    import torchvision

    names = {"vgg16": torchvision.models.VGG16_Weights, "alexnet": torchvision.models.AlexNet_Weights}
    load_state(network.path)  # raises a clear message if it is not a state dict
    before = torch.hub.get_dir()
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "checkpoints" / Path(names[network.role].DEFAULT.url).name
        link.parent.mkdir()
        link.symlink_to(network.path.resolve())
        torch.hub.set_dir(folder)
        try:
            yield
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:160]
            raise ValueError(f"weights: {network.path} does not fit {network.role} ({reason})") from None
        finally:
            torch.hub.set_dir(before)
