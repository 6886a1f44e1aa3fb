"""Complete videos as arrays.

Legend: T frames, H height, W width, C = 3 (RGB, uint8).
"""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from src.core.media_io.container import Source, load_source
from src.core.media_io.errors import ONE_CLOCK, MediaError, MediaEvent
from src.core.media_io.formats import media_kind
from src.core.media_io.frames import Frame, resample_frames
from src.core.media_io.image_reader import read_image
from src.core.media_io.video_reader import open_video


@dataclass(frozen=True)
class Video:
    """A decoded video: `fps` frames per second (0.0 for a still image).

    `times_T` are presentation times in seconds; None stands for n / fps. The last frame ends at `end_s`.
    """

    frames_THWC: np.ndarray
    fps: float
    times_T: np.ndarray | None = None
    end_s: float | None = None
    events: tuple[MediaEvent, ...] = ()

    def resample(self, fps: float) -> "Video":
        """Return the video at a constant rate: at each time n / fps the frame on the screen.

        Raises:
            ValueError: a still image.
        """
        if not self.fps:
            raise ValueError(f"a still image cannot be resampled to {fps:g} frames per second")
        num = len(self.frames_THWC)
        times = np.arange(num) / self.fps if self.times_T is None else self.times_T
        end_s = self.end_s if self.end_s is not None else float(times[-1]) + 1 / self.fps
        spans = np.diff([*times, end_s])
        frames = (Frame(self.frames_THWC[n], float(times[n]), float(spans[n])) for n in range(num))
        shown = list(resample_frames(frames, fps)) or [Frame(self.frames_THWC[0], 0.0)]
        return Video(np.stack([frame.rgb_HWC for frame in shown]), fps, None, None, self.events)


def read_video(
    source: Source, *, max_frames: int | None = None, raise_on: Collection[str] = ONE_CLOCK
) -> Video:
    """Decode a video, or a still image (one frame, fps 0), as an array.

    A jump of the clock is an error: in an array, the frame before it would stay on the screen.

    Raises:
        MediaError: as `open_video`; "no frames", or "frame size changes".
    """
    source = load_source(source)
    if media_kind(source) == "image":
        return Video(read_image(source)[None], 0.0)
    with open_video(source, raise_on=raise_on) as video:
        expected = max_frames or math.ceil((video.duration_s or 0.0) * video.fps)
        frames_THWC, times_T, end_s = _stack(islice(video.frames(), max_frames), expected)
        return Video(frames_THWC, video.fps, times_T, end_s, tuple(video.events))


def _stack(frames: Iterator[Frame], expected: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Return frames in one array, their times and the end of the last; memory for one copy of the frames.

    Args:
        expected: number of frames; a wrong one costs time.
    """
    stacked, times, end_s = np.empty((0, 0, 0, 3), np.uint8), list[float](), 0.0
    for frame in frames:
        if not times:
            stacked = np.empty((max(expected, 1), *frame.rgb_HWC.shape), np.uint8)
        if frame.rgb_HWC.shape != stacked.shape[1:]:
            raise MediaError("frame size changes", "frames change size within the video")
        if len(times) == len(stacked):
            stacked = np.concatenate([stacked, np.empty_like(stacked)])
        stacked[len(times)] = frame.rgb_HWC
        times.append(frame.time_s)
        end_s = frame.time_s + frame.duration_s
    if not times:
        raise MediaError("no frames")
    return stacked[: len(times)], np.array(times), end_s
