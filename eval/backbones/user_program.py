"""Any further backbone (VGGish, PANNs, PaSST, VideoMAE, ...) as a program on the user's disk.

Nothing is downloaded. The file's sha256 is in every result; the name is chosen by the user.
"""

import re
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from eval.backbones.checksummed_weights import load_program
from eval.backbones.config import UserProgramConfig
from eval.backbones.extractor import (
    RESIZING,
    FrameExtractor,
    Media,
    Rows,
    resize_frames,
    uniform_indices,
)
from eval.core.audio import read_audio
from eval.core.checksums import verified_sha256
from eval.core.frame_source import StreamInfo
from eval.core.frame_tasks import FrameTask, take_frames


class UserProgram(FrameExtractor):
    """The extractor that a `UserProgramConfig` describes."""

    distance = "fd"

    def __init__(self, name: str, config: UserProgramConfig) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_]*", name):
            raise ValueError(f"backbones: expected a name of lower-case letters, digits and _, got {name!r}")
        self.name, self.config = name, config
        self.media: Media = "audio" if config.input == "audio" else "video"

    @cached_property
    def description(self) -> dict[str, Any]:
        c = self.config
        settings = {k: v for k, v in asdict(c).items() if k not in ("path", "sha256")}
        return {
            "backbone": f"program {Path(c.path).name}",
            "weights_sha256": verified_sha256(c.path, c.sha256),
            "preprocessing": {**settings, "resizing": RESIZING},
            "rows": {"frames": "frames", "clip": "clips", "audio": "audio files"}[c.input],
        }

    def describe(self) -> dict[str, Any]:
        return self.description

    def extract(self, path: Path) -> Rows:
        if self.config.input == "audio":
            return self._run(read_audio(path).resample(self.config.rate).mono[None])
        return super().extract(path)

    def _run(self, batch: np.ndarray) -> Rows:
        import torch

        self.describe()  # verifies the checksum before the file is loaded
        with torch.inference_mode():
            out = load_program(Path(self.config.path))(torch.from_numpy(batch), **self.config.arguments)
        rows = out.flatten(1).float().numpy()
        return {"features": rows, "logits": rows} if self.config.logits else {"features": rows}

    def observe(self, info: StreamInfo) -> FrameTask:
        c = self.config
        if c.input == "frames":
            indices = uniform_indices(info.num_frames, c.num_frames)
        elif info.num_frames < c.num_frames:
            raise ValueError(f"expected at least {c.num_frames} frames, got {info.num_frames}")
        else:  # one centered clip
            indices = (info.num_frames - c.num_frames) // 2 + np.arange(c.num_frames)
        return self._run(self._pixels((yield from take_frames(indices))))

    def _pixels(self, frames_THWC: np.ndarray) -> np.ndarray:
        c = self.config
        pixels_TCHW = np.moveaxis((resize_frames(frames_THWC, c.size) - c.mean) / c.scale, -1, 1)
        batch = pixels_TCHW if c.input == "frames" else pixels_TCHW.swapaxes(0, 1)[None]
        return np.ascontiguousarray(batch, np.float32)
