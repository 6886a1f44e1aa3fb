"""The frames of a video or still image one at a time, with what is known before the first one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from eval.core.video import DecodeError
from src.core.media_io.errors import ONE_CLOCK, MediaError
from src.core.media_io.formats import media_kind
from src.core.media_io.frames import Frame
from src.core.media_io.image_reader import read_image
from src.core.media_io.video_reader import open_video

__all__ = ["Frame", "FrameSource", "StreamInfo", "open_frames"]


@dataclass(frozen=True)
class StreamInfo:
    """Facts known before decoding. `num_frames`: counted without decoding; `fps`: 0 of a still image."""

    num_frames: int
    fps: float
    height: int
    width: int


@dataclass(frozen=True)
class FrameSource:
    """An open file: its properties, and its frames, which can be read once."""

    info: StreamInfo
    frames: Iterator[Frame]


@contextmanager
def open_frames(path: Path) -> Iterator[FrameSource]:
    """Open a video or a still image.

    Raises:
        DecodeError: on opening or later between frames, if the file cannot be decoded, is damaged or ends
            before its header promises.
    """
    with _named(path):
        if media_kind(path) == "image":
            rgb_HWC = read_image(path)
            yield FrameSource(StreamInfo(1, 0.0, *rgb_HWC.shape[:2]), iter([Frame(rgb_HWC, 0.0)]))
            return
        with open_video(path, raise_on=ONE_CLOCK) as video:
            info = StreamInfo(video.num_frames, video.fps, *video.size)
            yield FrameSource(info, _checked(path, video.frames()))


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Raise the reader's errors with the name of the file."""
    try:
        yield
    except MediaError as error:
        raise DecodeError(f"{path}: {error}") from None


def _checked(path: Path, frames: Iterator[Frame]) -> Iterator[Frame]:
    """Yield frames of one size, at least one."""
    shape = None
    with _named(path):
        for frame in frames:
            if shape not in (None, frame.rgb_HWC.shape):
                raise MediaError("frame size changes", "frames change size within the video")
            shape = frame.rgb_HWC.shape
            yield frame
        if shape is None:
            raise MediaError("no frames")
