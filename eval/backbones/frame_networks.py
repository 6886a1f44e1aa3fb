"""Backbones whose weights the user names by role: CLIP and DINO of frames, Inception for FID, I3D for FVD.

Legend: T frames, H height, W width, C = 3; D dimensions.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
from PIL import Image

from eval.backbones.checksummed_weights import Network, load_program
from eval.backbones.clip_clap import BATCH, CLIP, Checkpoint
from eval.backbones.config import ClipsConfig
from eval.backbones.extractor import RESIZING, FrameExtractor, resize_frames
from eval.backbones.preprocessing import (
    CROPPING,
    center_crop,
    num_resampled,
    resampled,
    sampled_indices,
    window_starts,
)
from eval.core.frame_source import StreamInfo
from eval.core.frame_tasks import FrameTask, map_batches, take_frames


class ClipFrames(FrameExtractor):
    """CLIP embeddings of frames, unit vectors."""

    name, distance = "clip", "fd"

    def __init__(self, clip: CLIP, num_frames: int) -> None:
        self.clip, self.num_frames = clip, num_frames

    def describe(self) -> dict[str, Any]:
        return {**self.clip.describe(), "frames": self.num_frames or "all", "rows": "frames"}

    def observe(self, info: StreamInfo) -> FrameTask:
        indices = sampled_indices(info.num_frames, self.num_frames)
        return {"features": np.concatenate((yield from map_batches(indices, BATCH, self.clip.embed_frames)))}


class Dino(Checkpoint):
    """Class token and patch tokens of a vision transformer after the last norm (DINO, DINOv2)."""

    model_types = ("vit", "dinov2")

    def all_tokens(self, frames_THWC: np.ndarray) -> np.ndarray:
        """Return [T, 1 + patches, D]; the class token comes first."""
        import torch

        parts = []
        for start in range(0, len(frames_THWC), BATCH):
            with torch.inference_mode():
                pixels = self.pixels(frames_THWC[start : start + BATCH])
                parts.append(self.model(pixel_values=pixels).last_hidden_state.numpy())
        return np.concatenate(parts)

    def embed_frames(self, frames_THWC: np.ndarray) -> np.ndarray:
        """Return the class tokens [T, D]."""
        return self.all_tokens(frames_THWC)[:, 0]


class DinoFrames(FrameExtractor):
    """DINO features of frames."""

    name, distance = "dino", "fd"

    def __init__(self, dino: Dino, num_frames: int) -> None:
        self.dino, self.num_frames = dino, num_frames

    def describe(self) -> dict[str, Any]:
        rows = {"frames": self.num_frames or "all", "rows": "frames", "token": "class"}
        return {**self.dino.describe(), **rows}

    def observe(self, info: StreamInfo) -> FrameTask:
        indices = sampled_indices(info.num_frames, self.num_frames)
        return {"features": np.concatenate((yield from map_batches(indices, BATCH, self.dino.embed_frames)))}


class Inception(FrameExtractor):
    """Features of the Inception that defines FID, after clean-fid's resizing (Parmar et al. 2022)."""

    name, distance = "inception", "fid"

    def __init__(self, network: Network, num_frames: int) -> None:
        self.network, self.num_frames = network, num_frames

    def describe(self) -> dict[str, Any]:
        preprocessing = f"299x299, {RESIZING}; (x - 128) / 128, then `layers`"
        frames = {"frames": self.num_frames or "all", "rows": "frames"}
        return {**self.network.describe(), "preprocessing": preprocessing, **frames}

    def observe(self, info: StreamInfo) -> FrameTask:
        indices = sampled_indices(info.num_frames, self.num_frames)
        return {"features": np.concatenate((yield from map_batches(indices, BATCH, self._features)))}

    def _features(self, frames_THWC: np.ndarray) -> np.ndarray:
        import torch

        layers = getattr(load_program(self.network.path), "layers", None)
        if layers is None:
            raise ValueError(f"weights: {self.network.path} is not clean-fid's Inception: it has no `layers`")
        pixels = (resize_frames(frames_THWC, 299) - 128) / 128
        with torch.inference_mode():
            out = layers(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous())
        return _checked_rows(out, 2048, self.network)


class I3D(FrameExtractor):
    """Logits [400] of the I3D of Kinetics-400 that defines FVD (Unterthiner et al. 2018).

    The program is called as in published code: (clips [1, 3, T, 224, 224] in [-1, 1], rescale=False,
    resize=False, return_features=True).
    """

    name, distance = "i3d", "fvd"

    def __init__(self, network: Network, config: ClipsConfig) -> None:
        self.network, self.config = network, config

    def describe(self) -> dict[str, Any]:
        resizing = CROPPING.format("bilinear with antialiasing") + "; x / 127.5 - 1"
        preprocessing = {**asdict(self.config), "size": 224, "resizing": resizing}
        arguments = "rescale=False, resize=False, return_features=True"
        return {
            **self.network.describe(),
            "preprocessing": preprocessing,
            "called": arguments,
            "rows": "clips",
        }

    def observe(self, info: StreamInfo) -> FrameTask:
        c, total = self.config, num_resampled(info, self.config.fps)
        if total < c.num_frames:
            raise ValueError(f"expected at least {c.num_frames} frames, got {total}")
        starts = window_starts(total, c.num_frames, c.num_clips)
        indices = np.unique(starts[:, None] + np.arange(c.num_frames))
        frames_THWC = yield from resampled(c.fps, take_frames(indices))
        frames_THWC = center_crop(frames_THWC, 224, Image.Resampling.BILINEAR)
        rows = []
        for start in np.searchsorted(indices, starts):
            rows.append(self._logits(frames_THWC[start : start + c.num_frames]))
        return {"features": np.concatenate(rows)}

    def _logits(self, frames_THWC: np.ndarray) -> np.ndarray:
        import torch

        clip = torch.from_numpy(frames_THWC.astype(np.float32) / 127.5 - 1)
        with torch.inference_mode():
            out = load_program(self.network.path)(
                clip.permute(3, 0, 1, 2)[None].contiguous(),
                rescale=False,
                resize=False,
                return_features=True,
            )
        return _checked_rows(out, 400, self.network)


def _checked_rows(rows: Any, size: int, network: Network) -> np.ndarray:
    """Return the rows as an array after checking the dimension of the network that defines the metric."""
    rows = rows.flatten(1).numpy()
    if rows.shape[1] != size:
        raise ValueError(
            f"weights: {network.path} returned {rows.shape[1]} features, expected {size} of {network.role}"
        )
    return rows
