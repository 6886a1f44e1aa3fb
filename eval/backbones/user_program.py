"""Any further backbone as a program on the user's own disk: VGGish, PANNs, PaSST, VideoMAE, ...

Nothing is downloaded. The file's sha256 is in every result, and the name is the user's own.
"""

import re
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from eval.backbones.checksummed_weights import load_program
from eval.backbones.extractor import RESIZING, Media, Rows, checked_weights, resized, spread
from eval.core.audio import read_sound
from eval.core.video import read_video
from src.core.fields import opt


@dataclass(frozen=True, kw_only=True)
class LocalConfig:
    """A TorchScript file, or an exported program (.pt2), and what it wants to be fed."""

    path: str = opt("???", "TorchScript file or exported program on this machine")
    sha256: str = opt("", "checksum the file must have; empty takes any")
    input: Literal["frames", "clip", "sound"] = opt(
        "frames", "frames: [N,3,H,W]; clip: [1,3,T,H,W]; sound: [1,S] mono"
    )
    size: int = opt(299, "side in pixels that frames are resized to")
    num_frames: int = opt(16, "frames taken evenly over the film; a clip takes this many in a row")
    mean: float = opt(0.0, "pixels in 0..255 become (x - mean) / scale")
    scale: float = opt(1.0, "see mean")
    rate: int = opt(16000, "sample rate of sound, Hz")
    arguments: dict[str, bool] = opt({}, "further arguments of the module, such as return_features: true")
    logits: bool = opt(False, "the rows are a classifier's logits: inception score and KL are meaningful")

    def __post_init__(self) -> None:
        for key in ("size", "num_frames", "rate"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}: must be positive, got {getattr(self, key)}")
        if not self.scale:
            raise ValueError("scale: must not be 0")


class LocalExtractor:
    """A `LocalConfig` at work."""

    distance = "fd"

    def __init__(self, name: str, config: LocalConfig) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_]*", name):
            raise ValueError(f"backbones: a name is lower-case letters, digits and _, got {name!r}")
        self.name, self.config = name, config
        self.media: Media = "sound" if config.input == "sound" else "video"

    @cached_property
    def description(self) -> dict[str, Any]:
        c = self.config
        settings = {k: v for k, v in asdict(c).items() if k not in ("path", "sha256")}
        return {
            "backbone": f"program {Path(c.path).name}",
            "weights_sha256": checked_weights(c.path, c.sha256),
            "preprocessing": {**settings, "resizing": RESIZING},
            "rows": {"frames": "frames", "clip": "clips", "sound": "sounds"}[c.input],
        }

    def describe(self) -> dict[str, Any]:
        return self.description

    def extract(self, path: Path) -> Rows:
        import torch

        self.describe()  # the checksum comes first
        batch = self._sound(path) if self.config.input == "sound" else self._pixels(path)
        with torch.inference_mode():
            out = load_program(Path(self.config.path))(torch.from_numpy(batch), **self.config.arguments)
        rows = out.flatten(1).float().numpy()
        return {"features": rows, "logits": rows} if self.config.logits else {"features": rows}

    def _sound(self, path: Path) -> np.ndarray:
        return read_sound(path).at_rate(self.config.rate).mono[None]

    def _pixels(self, path: Path) -> np.ndarray:
        c, frames_THWC = self.config, read_video(path).frames_THWC
        if c.input == "frames":
            frames_THWC = frames_THWC[spread(len(frames_THWC), c.num_frames)]
        elif len(frames_THWC) < c.num_frames:
            raise ValueError(f"a clip of {c.num_frames} frames cannot be cut from {len(frames_THWC)}")
        else:  # from the middle: the same clip whatever else is measured
            start = (len(frames_THWC) - c.num_frames) // 2
            frames_THWC = frames_THWC[start : start + c.num_frames]
        pixels_TCHW = np.moveaxis((resized(frames_THWC, c.size) - c.mean) / c.scale, -1, 1)
        batch = pixels_TCHW if c.input == "frames" else pixels_TCHW.swapaxes(0, 1)[None]
        return np.ascontiguousarray(batch, np.float32)
