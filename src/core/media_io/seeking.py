"""Begin decoding in the middle of a video: at the key frame before a time, in full only shortly before it.

H.264 marks the frames that no other frame refers to; those before the time are skipped.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import av

from src.core.media_io.errors import EventLog, MediaError
from src.core.media_io.timeline import Timeline, clock_zero, lacks_times
from src.core.media_io.video_decoder import TimedFrame, decode_video

_BACK_S = (0.0, 2.0, 10.0)  # the search for a key frame moves back, at last to the start of the file
_MARGIN_FRAMES = 3  # nothing is skipped this shortly before the time


@dataclass(frozen=True)
class Beginning:
    """One way to get the frames from `start_s` on: seek to `seek_s` (0: read from the start of the file)."""

    start_s: float
    seek_s: float = 0.0
    skips: bool = False

    def frames(self, container: Any, stream: Any, fps: float, log: EventLog) -> Iterator[TimedFrame] | None:
        """Return frames, the one shown at `start_s` among them; None if another way must be tried.

        Args:
            container, stream: as they were opened.
        """
        zero_s = clock_zero(stream)
        if not self.seek_s:
            return decode_video(container, stream, Timeline(stream, zero_s, fps, log), log)
        if lacks_times(stream) or (self.skips and stream.codec_context.name != "h264"):
            return None
        try:
            target = round((self.seek_s + zero_s) / stream.time_base)
            container.seek(target, stream=stream, backward=True)
        except av.FFmpegError:
            return None
        trial = EventLog(log.raise_on)
        certain_s = self.start_s - _MARGIN_FRAMES / fps
        full_from = round((certain_s + zero_s) / stream.time_base) if self.skips else None
        frames = decode_video(container, stream, Timeline(stream, zero_s, fps, trial), trial, full_from)
        try:
            begun = self._read_to_start(frames, certain_s)
        except MediaError:
            if self.skips:
                return None
            raise
        if not begun or (self.skips and trial.events):
            return None
        log.events += trial.events
        trial.events = log.events
        return chain(begun, frames)

    def _read_to_start(self, frames: Iterator[TimedFrame], certain_s: float) -> list[TimedFrame]:
        """Return the frames read so far that count; none if this way gives wrong ones."""
        first = next(frames, None)
        # files without an index seek into the middle of a group of frames, which decodes wrongly
        if first is None or not first[0].key_frame or first[1] > self.start_s + 1e-6:
            return []
        if not self.skips:
            return [first]
        shown, after = first, list[TimedFrame]()
        for timed in frames:
            if timed[1] > self.start_s + 1e-6:
                after = [timed]
                break
            shown = timed
        if shown[1] < certain_s:  # a skipped frame may be the one that is shown
            return []
        return [shown, *after]


def beginnings(start_s: float) -> list[Beginning]:
    """Return the ways to get the frames from `start_s` on, in the order in which to try them."""
    seeks = [start_s - back_s for back_s in _BACK_S if start_s - back_s > 0]
    skipping = [Beginning(start_s, seeks[0], skips=True)] if seeks else []
    return [*skipping, *(Beginning(start_s, seek_s) for seek_s in seeks), Beginning(start_s)]
