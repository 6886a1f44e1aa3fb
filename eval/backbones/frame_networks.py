"""Backbones whose weights the user names by role: CLIP and DINO of frames, Inception for FID, I3D for FVD.

Legend: T frames, H height, W width, C = 3; D dimensions.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from eval.backbones.checksummed_weights import Network, load_program
from eval.backbones.clip_clap import BATCH, CLIP, Checkpoint
from eval.backbones.config import ClipsConfig
from eval.backbones.extractor import RESIZING, Rows, resize_frames
from eval.backbones.preprocessing import CROPPING, center_crop, resample_frames, sample_frames, window_starts
from eval.core.video import read_video


class ClipFrames:
    """CLIP embeddings of frames, unit vectors."""

    name, media, distance = "clip", "video", "fd"

    def __init__(self, clip: CLIP, num_frames: int) -> None:
        self.clip, self.num_frames = clip, num_frames

    def describe(self) -> dict[str, Any]:
        return {**self.clip.describe(), "frames": self.num_frames or "all", "rows": "frames"}

    def extract(self, path: Path) -> Rows:
        frames_THWC = sample_frames(read_video(path).frames_THWC, self.num_frames)
        return {"features": self.clip.embed_frames(frames_THWC)}


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


class DinoFrames:
    """DINO features of frames."""

    name, media, distance = "dino", "video", "fd"

    def __init__(self, dino: Dino, num_frames: int) -> None:
        self.dino, self.num_frames = dino, num_frames

    def describe(self) -> dict[str, Any]:
        rows = {"frames": self.num_frames or "all", "rows": "frames", "token": "class"}
        return {**self.dino.describe(), **rows}

    def extract(self, path: Path) -> Rows:
        return {
            "features": self.dino.embed_frames(sample_frames(read_video(path).frames_THWC, self.num_frames))
        }


class Inception:
    """Features of the Inception that defines FID, after clean-fid's resizing (Parmar et al. 2022)."""

    name, media, distance = "inception", "video", "fid"

    def __init__(self, network: Network, num_frames: int) -> None:
        self.network, self.num_frames = network, num_frames

    def describe(self) -> dict[str, Any]:
        preprocessing = f"299x299, {RESIZING}; (x - 128) / 128, then `layers`"
        frames = {"frames": self.num_frames or "all", "rows": "frames"}
        return {**self.network.describe(), "preprocessing": preprocessing, **frames}

    def extract(self, path: Path) -> Rows:
        import torch

        layers = getattr(load_program(self.network.path), "layers", None)
        if layers is None:
            raise ValueError(f"weights: {self.network.path} is not clean-fid's Inception: it has no `layers`")
        frames_THWC, parts = sample_frames(read_video(path).frames_THWC, self.num_frames), []
        for start in range(0, len(frames_THWC), BATCH):
            pixels = (resize_frames(frames_THWC[start : start + BATCH], 299) - 128) / 128
            with torch.inference_mode():
                out = layers(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous())
            parts.append(_checked_rows(out, 2048, self.network))
        return {"features": np.concatenate(parts)}


class I3D:
    """Logits [400] of the I3D of Kinetics-400 that defines FVD (Unterthiner et al. 2018).

    The program is called as in published code: (clips [1, 3, T, 224, 224] in [-1, 1], rescale=False,
    resize=False, return_features=True).
    """

    name, media, distance = "i3d", "video", "fvd"

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

    def extract(self, path: Path) -> Rows:
        import torch

        c, frames_THWC = self.config, resample_frames(read_video(path), self.config.fps)
        if len(frames_THWC) < c.num_frames:
            raise ValueError(f"expected at least {c.num_frames} frames, got {len(frames_THWC)}")
        frames_THWC, rows = center_crop(frames_THWC, 224, Image.Resampling.BILINEAR), []
        for start in window_starts(len(frames_THWC), c.num_frames, c.num_clips):
            clip = torch.from_numpy(frames_THWC[start : start + c.num_frames].astype(np.float32) / 127.5 - 1)
            with torch.inference_mode():
                out = load_program(self.network.path)(
                    clip.permute(3, 0, 1, 2)[None].contiguous(),
                    rescale=False,
                    resize=False,
                    return_features=True,
                )
            rows.append(_checked_rows(out, 400, self.network))
        return {"features": np.concatenate(rows)}


def _checked_rows(rows: Any, size: int, network: Network) -> np.ndarray:
    """Return the rows as an array after checking the dimension of the network that defines the metric."""
    rows = rows.flatten(1).numpy()
    if rows.shape[1] != size:
        raise ValueError(
            f"weights: {network.path} returned {rows.shape[1]} features, expected {size} of {network.role}"
        )
    return rows
