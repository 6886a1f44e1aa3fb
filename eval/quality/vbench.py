"""VBench's dimensions over networks given by role: aesthetic and imaging quality, motion smoothness.

Legend: T frames, H height, W width, C = 3 (RGB, uint8).
"""

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from eval.backbones.checksummed_weights import Network, load_program, load_state
from eval.backbones.clip_clap import BATCH, CLIP
from eval.backbones.preprocessing import sampled_indices
from eval.core.frame_metric import FrameMetric
from eval.core.frame_source import StreamInfo
from eval.core.frame_tasks import FrameTask, map_batches
from eval.core.results import FRACTION, Item, Measurement, Score

if TYPE_CHECKING:
    import torch

MAX_SIDE = 512


class Aesthetic(FrameMetric):
    """LAION's linear head on CLIP ViT-L/14, its 0..10 divided by ten, mean over frames."""

    name = "aesthetic"
    scores = {"aesthetic": Score(1, FRACTION, "LAION's aesthetic score / 10, mean over frames")}

    def __init__(self, clip: CLIP, head: Network, num_frames: int) -> None:
        self.clip, self.head, self.num_frames = clip, head, num_frames

    def describe(self) -> dict[str, Any]:
        head = self.head.describe()
        return {**self.clip.describe(), "head": head, "frames": self.num_frames or "all"}

    @cached_property
    def linear_head(self) -> tuple[np.ndarray, float]:
        state = load_state(self.head.path)
        if set(state) != {"weight", "bias"} or state["weight"].ndim != 2 or len(state["weight"]) != 1:
            raise ValueError(f"weights: {self.head.path} is not a linear head with one output")
        return state["weight"][0].float().numpy(), float(state["bias"][0])

    def observe(self, item: Item, info: StreamInfo) -> FrameTask:
        indices = sampled_indices(info.num_frames, self.num_frames)
        frames_TD = np.concatenate((yield from map_batches(indices, BATCH, self.clip.embed_frames)))
        weight_D, bias = self.linear_head
        if frames_TD.shape[1] != len(weight_D):
            dims = (
                f"{len(weight_D)} of the aesthetic head vs {frames_TD.shape[1]} of {self.clip.network.path}"
            )
            raise ValueError(f"weights: feature dimension mismatch: {dims}")
        return Measurement({"aesthetic": float((frames_TD @ weight_D + bias).mean() / 10)})


class Imaging(FrameMetric):
    """MUSIQ's score / 100 of frames whose longer side is at most 512."""

    name = "imaging"
    scores = {"imaging": Score(1, FRACTION, "MUSIQ / 100, mean over frames")}

    def __init__(self, network: Network, num_frames: int) -> None:
        self.network, self.num_frames = network, num_frames

    def describe(self) -> dict[str, Any]:
        how = f"longer side at most {MAX_SIDE} (bilinear with antialiasing), x / 255"
        return {**self.network.describe(), "preprocessing": how, "frames": self.num_frames or "all"}

    def observe(self, item: Item, info: StreamInfo) -> FrameTask:
        indices = sampled_indices(info.num_frames, self.num_frames)
        scores = yield from map_batches(
            indices, 1, lambda frames: float(run_program(self.network, _downscale(frames[0])))
        )
        if not all(0 <= score <= 100 for score in scores):
            raise ValueError(
                f"imaging: {self.network.path} returned {min(scores):g}..{max(scores):g}, expected 0..100"
            )
        return Measurement({"imaging": float(np.mean(scores)) / 100})


class MotionSmoothness(FrameMetric):
    """1 - mean absolute error / 255 of every second frame interpolated from its neighbors (VBench)."""

    name = "motion_smoothness"
    scores = {
        "motion_smoothness": Score(1, FRACTION, "1 - error of odd frames interpolated by the network / 255")
    }

    def __init__(self, network: Network) -> None:
        self.network = network

    def describe(self) -> dict[str, Any]:
        how = "frames as decoded, x / 255, all of them; result rounded to 0..255"
        return {**self.network.describe(), "preprocessing": how}

    def observe(self, item: Item, info: StreamInfo) -> FrameTask:
        errors, last, number = [], list[np.ndarray](), 0
        while (frame := (yield)) is not None:
            last, number = [*last[-2:], frame.rgb_HWC], number + 1
            if number >= 3 and number % 2:
                errors.append(self._error(*last))
        if not errors:
            raise ValueError(f"motion_smoothness: expected three or more frames, got {number}")
        return Measurement({self.name: float(1 - np.mean(errors) / 255)})

    def _error(self, before_HWC: np.ndarray, between_HWC: np.ndarray, after_HWC: np.ndarray) -> float:
        predicted_HWC = _to_uint8_range(run_program(self.network, before_HWC, after_HWC))
        if predicted_HWC.shape != before_HWC.shape:
            raise ValueError(
                f"{self.name}: the network returned shape {list(predicted_HWC.shape)}, expected a frame"
            )
        return float(np.abs(predicted_HWC - between_HWC.astype(np.float32)).mean())


def run_program(network: Network, *frames_HWC: np.ndarray) -> "torch.Tensor":
    """Run a program on frames as [1, 3, H, W] in 0..1."""
    import torch

    batches = (
        torch.from_numpy(frame.astype(np.float32) / 255).permute(2, 0, 1)[None].contiguous()
        for frame in frames_HWC
    )
    try:
        with torch.inference_mode():
            return load_program(network.path)(*batches)
    except (RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())[-160:]
        size = "x".join(map(str, frames_HWC[0].shape[:2]))
        raise ValueError(f"{network.role}: failed on frames of {size} ({reason})") from None


def _to_uint8_range(image_1CHW: "torch.Tensor") -> np.ndarray:
    return (image_1CHW[0].permute(1, 2, 0).clamp(0, 1) * 255).round().numpy()


def _downscale(frame_HWC: np.ndarray) -> np.ndarray:
    height, width = frame_HWC.shape[:2]
    factor = MAX_SIDE / max(height, width)
    if factor >= 1:
        return frame_HWC
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(Image.fromarray(frame_HWC).resize(size, Image.Resampling.BILINEAR))
