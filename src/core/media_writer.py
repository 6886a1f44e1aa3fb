"""Writing pictures and films to files. The same pixels give the same bytes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

OPTIONS = {"fflags": "+bitexact", "movflags": "+faststart"}


def to_uint8(video_BCTHW: Tensor) -> NDArray[np.uint8]:
    """Pixels in [-1, 1] to uint8 [B, T, H, W, C]; what lies outside is clipped."""
    scaled = (video_BCTHW.float().clamp(-1, 1) + 1) * 127.5
    return np.ascontiguousarray(scaled.round().byte().permute(0, 2, 3, 4, 1).cpu().numpy())


def write_image(path: Path, frame_HWC: NDArray[np.uint8]) -> None:
    """One RGB picture as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(frame_HWC).save(path, optimize=False)


def write_video(path: Path, video_THWC: NDArray[np.uint8], fps: float, crf: int = 12) -> None:
    """An RGB film of even height and width, as `video_writer` writes it."""
    height, width = video_THWC.shape[1:3]
    with video_writer(path, height, width, fps, crf) as write:
        for frame_HWC in video_THWC:
            write(frame_HWC)


@contextmanager
def video_writer(
    path: Path, height: int, width: int, fps: float, crf: int = 12
) -> Iterator[Callable[[NDArray[np.uint8]], None]]:
    """A function that takes an RGB film frame by frame; H.264 in mp4 (yuv420p, which every player shows).

    One encoder thread and bit-exact muxing, so that equal pixels give equal bytes.

    Args:
        height, width: even, since the chroma planes have half of each.
        crf: H.264 quality, 0 (lossless) to 51. 12 is visually lossless even at 32 pixels.
    """
    if height % 2 or width % 2:
        raise ValueError(f"film of {width}x{height} pixels: mp4 needs even sizes")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")  # a file with its final name is whole
    try:
        with av.open(str(temporary), "w", options=OPTIONS) as container:
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.options = {"crf": str(crf), "preset": "medium", "threads": "1", "flags": "+bitexact"}

            def write(frame_HWC: NDArray[np.uint8]) -> None:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24")
                for packet in stream.encode(frame):
                    container.mux(packet)

            yield write
            for packet in stream.encode():
                container.mux(packet)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
