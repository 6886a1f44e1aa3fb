"""VBench's dimensions over networks given by role: aesthetic and imaging quality, motion smoothness.

Legend: T frames, H height, W width, C = 3 (RGB, uint8).
"""

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from eval.backbones.checksummed_weights import Network, load_program, load_state
from eval.backbones.clip_clap import CLIP
from eval.backbones.preprocessing import sample_frames
from eval.core.results import FRACTION, Item, Measurement, Score

if TYPE_CHECKING:
    import torch

MAX_SIDE = 512


class Aesthetic:
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

    def measure(self, item: Item) -> Measurement:
        frames_TD = self.clip.embed_frames(sample_frames(item.video_or_image.frames_THWC, self.num_frames))
        weight_D, bias = self.linear_head
        if frames_TD.shape[1] != len(weight_D):
            dims = (
                f"{len(weight_D)} of the aesthetic head vs {frames_TD.shape[1]} of {self.clip.network.path}"
            )
            raise ValueError(f"weights: feature dimension mismatch: {dims}")
        return Measurement({"aesthetic": float((frames_TD @ weight_D + bias).mean() / 10)})


class Imaging:
    """MUSIQ's score / 100 of frames whose longer side is at most 512."""

    name = "imaging"
    scores = {"imaging": Score(1, FRACTION, "MUSIQ / 100, mean over frames")}

    def __init__(self, network: Network, num_frames: int) -> None:
        self.network, self.num_frames = network, num_frames

    def describe(self) -> dict[str, Any]:
        how = f"longer side at most {MAX_SIDE} (bilinear with antialiasing), x / 255"
        return {**self.network.describe(), "preprocessing": how, "frames": self.num_frames or "all"}

    def measure(self, item: Item) -> Measurement:
        frames = sample_frames(item.video_or_image.frames_THWC, self.num_frames)
        scores = [float(run_program(self.network, _downscale(frame))) for frame in frames]
        if not all(0 <= score <= 100 for score in scores):
            raise ValueError(
                f"imaging: {self.network.path} returned {min(scores):g}..{max(scores):g}, expected 0..100"
            )
        return Measurement({"imaging": float(np.mean(scores)) / 100})


class MotionSmoothness:
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

    def measure(self, item: Item) -> Measurement:
        frames = item.video.frames_THWC
        if len(frames) < 3:
            raise ValueError(f"motion_smoothness: expected three or more frames, got {len(frames)}")
        errors = []
        for first in range(0, len(frames) - 2, 2):
            predicted_HWC = _to_uint8_range(run_program(self.network, frames[first], frames[first + 2]))
            if predicted_HWC.shape != frames[first].shape:
                raise ValueError(
                    f"{self.name}: the network returned shape {list(predicted_HWC.shape)}, expected a frame"
                )
            errors.append(np.abs(predicted_HWC - frames[first + 1].astype(np.float32)).mean())
        return Measurement({self.name: float(1 - np.mean(errors) / 255)})


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
