"""Write images and videos to files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from src.core.atomic import atomic_write

OPTIONS = {"fflags": "+bitexact", "movflags": "+faststart"}
# Macroblock-tree rate control of libx264 gives other results from call to call for equal frames (seen with
# AVX-512). Without it equal frames give equal bytes; files are 1.1 to 1.4 times as large at the same crf.
X264_PARAMS = "mbtree=0"


def write_image(path: Path, frame_HWC: NDArray[np.uint8]) -> None:
    """Write one RGB image as PNG."""
    with atomic_write(path) as temporary:
        Image.fromarray(frame_HWC).save(temporary, format="PNG", optimize=False)


def write_video(path: Path, video_THWC: NDArray[np.uint8], fps: float, crf: int = 12) -> None:
    """Write an RGB video of even height and width; see `video_writer`."""
    height, width = video_THWC.shape[1:3]
    with video_writer(path, height, width, fps, crf) as write:
        for frame_HWC in video_THWC:
            write(frame_HWC)


@contextmanager
def video_writer(
    path: Path, height: int, width: int, fps: float, crf: int = 12
) -> Iterator[Callable[[NDArray[np.uint8]], None]]:
    """Yield a function that writes an RGB video frame by frame: H.264 in mp4, yuv420p for every player.

    One encoder thread, no macroblock tree and bit-exact muxing, so that equal frames give equal bytes.

    Args:
        height, width: even, since the chroma planes have half of each.
        crf: H.264 quality, 0 (lossless) to 51. 12 is visually lossless even at 32 pixels.
    """
    if height % 2 or width % 2:
        raise ValueError(f"video of {width}x{height} pixels: mp4 needs even sizes")
    with (
        atomic_write(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options=OPTIONS) as container,
    ):
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {
            "crf": str(crf),
            "preset": "medium",
            "threads": "1",
            "flags": "+bitexact",
            "x264-params": X264_PARAMS,
        }

        def write(frame_HWC: NDArray[np.uint8]) -> None:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24")
            for packet in stream.encode(frame):
                container.mux(packet)

        yield write
        for packet in stream.encode():
            container.mux(packet)
