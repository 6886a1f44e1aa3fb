"""What turns a film or a sound into features, and how each of them says exactly what it is.

Legend: T frames, H height, W width, C = 3; N rows (frames, clips or windows of sound), D dimensions.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Media = Literal["video", "sound"]
Rows = dict[str, NDArray[np.float32]]
"""`features` [N, D] and, from classifiers, `logits` [N, classes]."""


class Extractor(Protocol):
    """A backbone with everything that happens to the media before it. `name` ends the metrics' names.

    `distance`: what a Frechet distance over it is called; fid and fvd are Inception's and I3D's alone.
    """

    name: str
    media: Media
    distance: str

    def describe(self) -> dict[str, Any]:
        """Backbone, sha256 of the weights, preprocessing, versions: plain JSON. Two extractors that may
        give different features must describe themselves differently, for this is the cache's key."""
        ...

    def extract(self, path: Path) -> Rows:
        """Rows of one file; never depends on other files. Raises ValueError where that is impossible."""
        ...


def key(extractor: Extractor) -> str:
    """sha256 of the extractor's description."""
    text = json.dumps({"name": extractor.name, **extractor.describe()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def checked_weights(path: str | Path, sha256: str = "", what: str = "weights") -> str:
    """sha256 of a weights file, or of another that a number hangs on.

    Raises:
        ValueError: for a missing file, or one whose checksum is not the expected one.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{what}: no such file: {path}; nothing is downloaded, put it there yourself")
    found = file_sha256(path)
    if sha256 and found != sha256.lower():
        raise ValueError(f"{what}: {path} has sha256 {found}, expected {sha256}")
    return found


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def spread(num_frames: int, wanted: int) -> NDArray[np.int64]:
    """Indices of at most `wanted` frames, evenly over the film, first and last included."""
    return np.linspace(0, num_frames - 1, min(wanted, num_frames)).round().astype(np.int64)


RESIZING = "bicubic with antialiasing in floats (PIL, mode F), aspect not kept"


def resized(frames_THWC: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """[T, size, size, C] floats in 0..255: the resizing of Parmar et al. 2022 (clean-fid)."""
    num, height, width, channels = frames_THWC.shape
    if (height, width) == (size, size):
        return frames_THWC.astype(np.float32)
    out = np.empty((num, size, size, channels), np.float32)
    for index in np.ndindex(num, channels):
        plane = Image.fromarray(frames_THWC[index[0], :, :, index[1]].astype(np.float32), mode=None)
        out[index[0], :, :, index[1]] = np.asarray(plane.resize((size, size), Image.Resampling.BICUBIC))
    return np.clip(out, 0, 255)
