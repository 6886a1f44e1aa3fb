"""Networks by path as backbones of features: CLIP and DINO of frames, Inception for FID, I3D for FVD.

Legend: T frames, H height, W width, C = 3; D dimensions.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from eval.backbones.checksummed_weights import Network, load_program
from eval.backbones.clip_clap import BATCH, Checkpoint, Clip
from eval.backbones.extractor import RESIZING, Rows, resized
from eval.backbones.preprocessing import CROPPING, at_rate, chosen, cropped, starts
from eval.core.video import read_video
from src.core.fields import opt


class ClipFrames:
    """Frames as CLIP embeds them, of length 1."""

    name, media, distance = "clip", "video", "fd"

    def __init__(self, clip: Clip, num_frames: int) -> None:
        self.clip, self.num_frames = clip, num_frames

    def describe(self) -> dict[str, Any]:
        return {**self.clip.describe(), "frames": self.num_frames or "all", "rows": "frames"}

    def extract(self, path: Path) -> Rows:
        frames_THWC = chosen(read_video(path).frames_THWC, self.num_frames)
        return {"features": self.clip.frames(frames_THWC)}


class Dino(Checkpoint):
    """A vision transformer's class token, and its patches' tokens, after the last norm."""

    kinds = ("vit", "dinov2")

    def tokens_of(self, frames_THWC: np.ndarray) -> np.ndarray:
        """[T, 1 + patches, D]."""
        import torch

        parts = []
        for start in range(0, len(frames_THWC), BATCH):
            with torch.inference_mode():
                pixels = self.pixels(frames_THWC[start : start + BATCH])
                parts.append(self.model(pixel_values=pixels).last_hidden_state.numpy())
        return np.concatenate(parts)

    def frames(self, frames_THWC: np.ndarray) -> np.ndarray:
        """[T, D]."""
        return self.tokens_of(frames_THWC)[:, 0]


class DinoFrames:
    """Frames as DINO sees them."""

    name, media, distance = "dino", "video", "fd"

    def __init__(self, dino: Dino, num_frames: int) -> None:
        self.dino, self.num_frames = dino, num_frames

    def describe(self) -> dict[str, Any]:
        rows = {"frames": self.num_frames or "all", "rows": "frames", "token": "class"}
        return {**self.dino.describe(), **rows}

    def extract(self, path: Path) -> Rows:
        return {"features": self.dino.frames(chosen(read_video(path).frames_THWC, self.num_frames))}


class Inception:
    """Frames by the Inception that FID is defined with, after clean-fid's resizing (Parmar et al. 2022)."""

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
            raise ValueError(f"weights: {self.network.path} has no `layers`, it is not clean-fid's Inception")
        frames_THWC, parts = chosen(read_video(path).frames_THWC, self.num_frames), []
        for start in range(0, len(frames_THWC), BATCH):
            pixels = (resized(frames_THWC[start : start + BATCH], 299) - 128) / 128
            with torch.inference_mode():
                out = layers(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous())
            parts.append(_of_size(out, 2048, self.network))
        return {"features": np.concatenate(parts)}


@dataclass(frozen=True, kw_only=True)
class ClipsConfig:
    """Which clips of a film FVD looks at."""

    num_frames: int = opt(16, "frames in a clip; I3D takes 10 or more")
    fps: float = opt(0.0, "frame rate that films are brought to first, by repeating and dropping; 0: as is")
    clips: int = opt(1, "clips of a film, evenly from start to end; one lies in the middle")

    def __post_init__(self) -> None:
        if self.num_frames < 10:
            raise ValueError(f"num_frames: I3D takes 10 frames or more, got {self.num_frames}")
        if self.fps < 0 or self.clips < 1:
            raise ValueError(f"fps must not be negative, clips must be positive: {self.fps:g}, {self.clips}")


class I3d:
    """Clips by the I3D of Kinetics-400 whose 400 logits FVD is defined with (Unterthiner et al. 2018).

    The file is called as the field calls it: (clips [1, 3, T, 224, 224] in [-1, 1], rescale=False,
    resize=False, return_features=True).
    """

    name, media, distance = "i3d", "video", "fvd"

    def __init__(self, network: Network, config: ClipsConfig) -> None:
        self.network, self.config = network, config

    def describe(self) -> dict[str, Any]:
        resizing = CROPPING.format("bilinear with antialiasing") + "; x / 127.5 - 1"
        preprocessing = {**asdict(self.config), "size": 224, "resizing": resizing}
        called = "rescale=False, resize=False, return_features=True"
        return {
            **self.network.describe(),
            "preprocessing": preprocessing,
            "called": called,
            "rows": "clips",
        }

    def extract(self, path: Path) -> Rows:
        import torch

        c, frames_THWC = self.config, at_rate(read_video(path), self.config.fps)
        if len(frames_THWC) < c.num_frames:
            raise ValueError(f"a clip of {c.num_frames} frames cannot be cut from {len(frames_THWC)}")
        frames_THWC, rows = cropped(frames_THWC, 224, Image.Resampling.BILINEAR), []
        for start in starts(len(frames_THWC), c.num_frames, c.clips):
            clip = torch.from_numpy(frames_THWC[start : start + c.num_frames].astype(np.float32) / 127.5 - 1)
            with torch.inference_mode():
                out = load_program(self.network.path)(
                    clip.permute(3, 0, 1, 2)[None].contiguous(),
                    rescale=False,
                    resize=False,
                    return_features=True,
                )
            rows.append(_of_size(out, 400, self.network))
        return {"features": np.concatenate(rows)}


def _of_size(rows: Any, size: int, network: Network) -> np.ndarray:
    """Rows as an array, if they are as long as those of the network that the role is named after."""
    rows = rows.flatten(1).numpy()
    if rows.shape[1] != size:
        raise ValueError(
            f"weights: {network.path} gives {rows.shape[1]} numbers, {network.role} gives {size}"
        )
    return rows
