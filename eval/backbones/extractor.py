"""Feature extractors: the protocol of all backbones, and the frame sampling and resizing that they share.

Legend: T frames, H height, W width, C = 3; N rows (frames, clips or windows of audio), D dimensions.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from eval.core.frame_pass import run_pass
from eval.core.frame_source import StreamInfo
from eval.core.frame_tasks import FrameTask

Media = Literal["video", "audio"]
Rows = dict[str, NDArray[np.float32]]
"""`features` [N, D] and, from classifiers, `logits` [N, classes]."""


class Extractor(Protocol):
    """A backbone with its preprocessing. `name` is the suffix of its metrics' names.

    `distance`: name of the Frechet distance over it; "fid" and "fvd" are reserved for Inception and I3D.
    """

    name: str
    media: Media
    distance: str

    def describe(self) -> dict[str, Any]:
        """Return backbone, sha256 of the weights, preprocessing and versions as plain JSON.

        The description is the cache's key: extractors that may give different features must differ in it.
        """
        ...

    def extract(self, path: Path) -> Rows:
        """Return the rows of one file, independent of other files. Raises ValueError if impossible."""
        ...


class FrameExtractor:
    """Base of backbones of video: they see frames one at a time, so that a decode is shared with metrics."""

    name: str
    media: Media = "video"

    def observe(self, info: StreamInfo) -> FrameTask:
        """Receive the frames of one file, then None, and return its Rows."""
        raise NotImplementedError

    def extract(self, path: Path) -> Rows:
        """Return the rows of one file, in a pass of its own. Raises ValueError if impossible."""
        found = run_pass(path, {self.name: self.observe})[self.name]
        if isinstance(found, Exception):
            raise found
        return found


def description_sha256(extractor: Extractor) -> str:
    """Return the sha256 of an extractor's name and description."""
    text = json.dumps({"name": extractor.name, **extractor.describe()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def uniform_indices(num_frames: int, num_samples: int) -> NDArray[np.int64]:
    """Return the indices of at most `num_samples` evenly spaced frames, first and last included."""
    return np.linspace(0, num_frames - 1, min(num_samples, num_frames)).round().astype(np.int64)


RESIZING = "bicubic with antialiasing in floats (PIL, mode F), aspect ratio not kept"


def resize_frames(frames_THWC: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """Return [T, size, size, C] floats in 0..255, resized as by clean-fid (Parmar et al. 2022)."""
    num, height, width, channels = frames_THWC.shape
    if (height, width) == (size, size):
        return frames_THWC.astype(np.float32)
    out = np.empty((num, size, size, channels), np.float32)
    for index in np.ndindex(num, channels):
        plane = Image.fromarray(frames_THWC[index[0], :, :, index[1]].astype(np.float32), mode=None)
        out[index[0], :, :, index[1]] = np.asarray(plane.resize((size, size), Image.Resampling.BICUBIC))
    return np.clip(out, 0, 255)
