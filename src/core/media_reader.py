"""Frames from files through PyAV and Pillow, one at a time, upright, with the pixel aspect ratio.

Legend: H, W after rotation; C = 3 (RGB, uint8).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageOps

VIDEO_TYPES = {
    ".mp4",
    ".mov",
    ".m4v",
    ".mkv",
    ".webm",
    ".avi",
    ".mpg",
    ".mpeg",
    ".ts",
    ".wmv",
    ".flv",
    ".gif",
}
IMAGE_TYPES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}


class MediaError(ValueError):
    """A file that cannot be used: `reason` is short and countable, `detail` adds specifics."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Frame:
    """One image and its presentation time, in seconds from the first frame."""

    rgb_HWC: np.ndarray
    time_s: float


@dataclass(frozen=True)
class OpenVideo:
    """An open file: metadata of its header, and its frames."""

    fps: float
    pixel_aspect: float  # width of a stored pixel over its height, after turning upright
    has_audio: bool
    _container: Any
    _stream: Any

    def frames(self, start_s: float = 0.0, end_s: float | None = None) -> Iterator[Frame]:
        """Yield frames shown in [start_s, end_s), decoded in order from the key frame before.

        Raises:
            MediaError: "damaged" when decoding fails midway; earlier frames have been yielded.
        """
        count = 0
        try:
            for frame in self._from_key_frame(start_s):
                time = self._time(frame, count)
                count += 1
                if end_s is not None and time >= end_s - 1e-6:
                    return
                if time >= start_s - 1e-6:
                    yield Frame(_upright(frame), time)
        except (av.FFmpegError, ValueError, OSError) as error:
            reason = "damaged" if count else "unreadable"
            raise MediaError(reason, f"decoding stopped after {count} frames: {_line(error)}") from None

    def _from_key_frame(self, start_s: float) -> Iterator[Any]:
        """Yield decoded frames from the key frame before `start_s`, or from the start where seeking fails.

        Formats without an index (MPEG-TS) seek into the middle of a group of frames, whose frames decode
        wrongly but raise no error.
        """
        if start_s > 0:
            self._seek(start_s)
            frames = self._container.decode(self._stream)
            one = next(frames, None)
            if one is not None and one.key_frame and self._time(one, 0) <= start_s + 1e-6:
                yield one
                yield from frames
                return
            self._seek(0.0)
        yield from self._container.decode(self._stream)

    def _seek(self, time_s: float) -> None:
        to = round((time_s + self._first_s) / self._stream.time_base)
        self._container.seek(to, stream=self._stream, backward=True)

    def _time(self, frame: Any, number: int) -> float:
        """Return seconds since the first frame (whose own time is not 0 in broadcast formats)."""
        return frame.time - self._first_s if frame.time is not None else number / self.fps

    @property
    def _first_s(self) -> float:
        return float((self._stream.start_time or 0) * self._stream.time_base)


@contextmanager
def open_video(path: Path | str) -> Iterator[OpenVideo]:
    """Open a video file.

    Raises:
        MediaError: "missing file", "unreadable", or "audio only" (no video stream).
    """
    if not Path(path).is_file():
        raise MediaError("missing file", str(path))
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.FFmpegError, ValueError, OSError) as error:
        raise MediaError("unreadable", _line(error)) from None
    with container:
        streams = [s for s in container.streams.video if not _is_cover(s)]
        if not streams:
            if container.streams.audio:
                raise MediaError("audio only", "no video stream")
            raise MediaError("unreadable", "no video stream")
        stream = streams[0]
        stream.thread_type = "NONE"  # processes are the parallelism, and results repeat exactly
        rate = stream.average_rate or stream.guessed_rate or Fraction(0)
        if rate <= 0:
            raise MediaError("unreadable", "no frame rate")
        aspect = float(stream.sample_aspect_ratio or 1) or 1.0
        yield OpenVideo(float(rate), aspect, bool(container.streams.audio), container, stream)


def read_image(path: Path | str) -> np.ndarray:
    """Read an image as uint8 [H, W, 3], rotated by its EXIF data, transparency on white.

    Raises:
        MediaError: "missing file" or "unreadable".
    """
    if not Path(path).is_file():
        raise MediaError("missing file", str(path))
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            if "A" in upright.getbands() or "transparency" in upright.info:
                upright = Image.alpha_composite(
                    Image.new("RGBA", upright.size, "white"), upright.convert("RGBA")
                )
            return np.array(upright.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MediaError("unreadable", _line(error).replace(str(path), Path(path).name)) from None


def resample_frames(frames: Iterator[Frame], fps: float, start_s: float) -> Iterator[Frame]:
    """Resample frames to a fixed rate: at each tick the frame on screen; variable rates work too."""
    current: Frame | None = None
    tick = 0
    for frame in frames:
        while current is not None and start_s + tick / fps < frame.time_s - 1e-6:
            yield Frame(current.rgb_HWC, start_s + tick / fps)
            tick += 1
        current = frame
    if current is not None:
        yield Frame(current.rgb_HWC, start_s + tick / fps)


def _upright(frame: Any) -> np.ndarray:
    """Return RGB pixels, rotated by the metadata that phones store."""
    rgb = frame.to_ndarray(format="rgb24")
    quarter_turns = round((getattr(frame, "rotation", 0) or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(rgb, quarter_turns)) if quarter_turns else rgb


def _is_cover(stream: Any) -> bool:
    """True for album art inside a music file, a video stream of one frame."""
    return bool(int(stream.disposition) & int(av.stream.Disposition.attached_pic))


def _line(error: BaseException) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:200]
