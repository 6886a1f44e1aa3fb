"""Animated WebP, PNG and AVIF through Pillow, as videos.

Legend: H, W; C = 3 (RGB, uint8).
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from PIL import Image

from src.core.media_io.container import check_is_file
from src.core.media_io.errors import MediaError, MediaEvent, one_line
from src.core.media_io.formats import ANIMATED_TYPES
from src.core.media_io.frames import Frame, resample_frames
from src.core.media_io.image_reader import to_rgb

_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"RIFF")
_DEFAULT_S = 0.1  # of frames without a duration or one of at most 10 ms, as browsers show them


def handles(source: Path | str | bytes) -> bool:
    """True for images that Pillow reads, which may be animated; GIFs are read as videos."""
    if isinstance(source, bytes):
        return source.startswith(_SIGNATURES[0]) or (source[:4] == b"RIFF" and source[8:12] == b"WEBP")
    return Path(source).suffix.lower() in ANIMATED_TYPES - {".gif"}


@dataclass
class AnimationReader:
    """An animated image with the interface of `VideoReader`; a still one has a single frame."""

    source: Path | str | bytes
    raise_on: frozenset[str]
    events: list[MediaEvent] = field(default_factory=list)
    has_audio: bool = False
    pixel_aspect: float = 1.0
    tick_s: float = 1e-3
    stream_index: int = 0

    def __post_init__(self) -> None:
        self._durations()  # errors of the header come when the file is opened

    @cached_property
    def duration_s(self) -> float:
        return sum(self._durations())

    @cached_property
    def fps(self) -> float:
        """Frames per second, on average."""
        return len(self._durations()) / self.duration_s

    @cached_property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self._durations())

    @cached_property
    def size(self) -> tuple[int, int]:
        with self._open() as image:
            return image.height, image.width

    def frames(
        self, start_s: float = 0.0, end_s: float | None = None, *, fps: float | None = None
    ) -> Iterator[Frame]:
        """Yield the frames shown in [start_s, end_s); see `VideoReader.frames`."""
        frames = self._frames(start_s, end_s, fps is not None)
        return resample_frames(frames, fps, start_s, end_s, self.tick_s) if fps else frames

    def _frames(self, start_s: float, end_s: float | None, with_shown: bool) -> Iterator[Frame]:
        time_s = 0.0
        with self._open() as image:
            for number in range(getattr(image, "n_frames", 1)):
                try:
                    image.seek(number)
                    image.load()
                    rgb_HWC = to_rgb(image)
                except (OSError, ValueError, SyntaxError, EOFError) as error:
                    detail = f"decoding stopped after {number} frames: {one_line(error)}"
                    if "damaged" in self.raise_on:
                        raise MediaError("damaged", detail) from None
                    self.events.append(MediaEvent("damaged", detail, time_s))
                    return
                if end_s is not None and time_s >= end_s - 1e-6:
                    return
                duration_s = _duration(image)
                if time_s >= start_s - 1e-6 or (with_shown and time_s + duration_s > start_s + 1e-6):
                    yield Frame(rgb_HWC, time_s, duration_s)
                time_s += duration_s

    def _open(self) -> Image.Image:
        try:
            if isinstance(self.source, bytes):
                return Image.open(io.BytesIO(self.source))
            check_is_file(self.source)
            return Image.open(self.source)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            if isinstance(error, MediaError):
                raise
            raise MediaError("unreadable", one_line(error).replace(str(self.source), "the file")) from None

    def _durations(self) -> list[float]:
        if not hasattr(self, "_seconds"):
            with self._open() as image:
                self._seconds = []
                for number in range(getattr(image, "n_frames", 1)):
                    try:
                        image.seek(number)
                        if image.format in {"WEBP", "AVIF"}:  # which know a duration once they are decoded
                            image.load()
                    except (OSError, ValueError, SyntaxError, EOFError):
                        break
                    self._seconds.append(_duration(image))
        return self._seconds or [_DEFAULT_S]


def _duration(image: Image.Image) -> float:
    """Return the seconds that the current frame is shown."""
    seconds = float(image.info.get("duration") or 0) / 1000
    return seconds if seconds > 0.0105 else _DEFAULT_S
