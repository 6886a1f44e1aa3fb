"""Presentation times of decoded frames on one clock: missing times, jumps, clocks that start again."""

import bisect
from collections import Counter
from fractions import Fraction
from itertools import islice, pairwise
from typing import Any

from src.core.media_io.errors import EventLog, MediaError

_MAX_GIF_RATE = 50
MIN_START_S = -0.2  # of Matroska: its times have no sign, only an encoder's delay lies before 0
MAX_GAP_S = 10.0  # a longer time between two frames is a jump of the clock, not a frame that stays


class Timeline:
    """Turns decoded frames, in presentation order, into times since the first frame, and segments.

    Where packets carry no presentation times (AVI, raw streams), the n-th frame has the n-th smallest
    decoding time, or n / fps if there is none either.
    """

    def __init__(self, stream: Any, zero_s: float, fps: float, log: EventLog) -> None:
        self.zero_s, self.fps, self.log = zero_s, fps, log
        self.counts_frames = lacks_times(stream)
        self.tick_s = float(stream.time_base or Fraction(1, 1000))
        self.segment = 0
        self._slots: list[int] = []  # decoding times of packets whose frames are still to come
        self._count = 0
        self._offset_s = 0.0
        self._previous_s: float | None = None
        self._previous_duration_s = 1 / fps

    def add_packet(self, packet: Any) -> None:
        """Remember the decoding time of a packet that was sent to the decoder."""
        if self.counts_frames and packet.size and packet.dts is not None:
            bisect.insort(self._slots, packet.dts)

    def drop_packet(self, packet: Any) -> None:
        """Forget a packet that gives no frame."""
        if self.counts_frames and packet.dts in self._slots:
            self._slots.remove(packet.dts)

    def time_of(self, frame: Any) -> float:
        """Return the time of the next frame in presentation order, in seconds from the first frame."""
        raw_s = self._raw_time(frame)
        time_s = raw_s + self._offset_s
        if self._previous_s is not None:
            if time_s < self._previous_s - 1e-6:
                continues_s = self._previous_s + self._previous_duration_s
                detail = f"from {self._previous_s:.3f} s back to {time_s:.3f} s"
                self.log.add("clock starts again", detail, self._previous_s)
                self._offset_s += continues_s - time_s
                time_s = continues_s
                self.segment += 1
            elif time_s - self._previous_s > MAX_GAP_S:
                detail = f"from {self._previous_s:.3f} s to {time_s:.3f} s"
                self.log.add("clock jump", detail, self._previous_s)
                self.segment += 1
        self._previous_s, self._previous_duration_s = time_s, self.duration_of(frame)
        return max(time_s, 0.0)

    def duration_of(self, frame: Any) -> float:
        """Return the frame's own duration; one frame at the stream's rate where the file has none."""
        duration_s = (frame.duration or 0) * self.tick_s
        return duration_s if 0 < duration_s <= MAX_GAP_S else 1 / self.fps

    def _raw_time(self, frame: Any) -> float:
        self._count += 1
        if self.counts_frames:
            if self._slots:
                return self._slots.pop(0) * self.tick_s - self.zero_s
            return (self._count - 1) / self.fps
        if frame.time is None:
            if self._previous_s is None:
                return 0.0
            return self._previous_s - self._offset_s + self._previous_duration_s
        return frame.time - self.zero_s


def lacks_times(stream: Any) -> bool:
    """True for containers without presentation times, whose frames are timed by their order."""
    return stream.container.format.name in {"avi", "h264", "hevc", "m4v", "mpegvideo", "obu", "vc1"}


def stream_rate(stream: Any) -> Fraction:
    """Return the frame rate of a video stream; 0 if unknown.

    The rate of most frames where the file has an index of times, since the average says little where the rate
    varies, and is off where a fragmented file's first frame is long. Else the header's or the average rate;
    for GIFs the rate at which their frames can be told apart.
    """
    average = stream.average_rate or stream.guessed_rate or Fraction(0)
    name = stream.container.format.name
    if name.startswith("mov"):
        return _most_common_rate(stream) or average
    base = stream.base_rate
    return base if name == "gif" and base and base <= _MAX_GIF_RATE else average


def _most_common_rate(stream: Any) -> Fraction | None:
    """Return the rate that at least half of the first frames in the file's index have."""
    times = [entry.timestamp for entry in islice(stream.index_entries, 1000)]
    steps = Counter(after - before for before, after in pairwise(times))
    if not steps:
        return None
    step, count = steps.most_common(1)[0]
    return 1 / (step * stream.time_base) if step > 0 and 2 * count >= len(times) - 1 else None


def clock_zero(stream: Any) -> float:
    """Return the time of the first frame on the container's clock, in seconds: zero for video and audio.

    ffmpeg's fragmented files have no edit list. Their audio begins with the encoder's delay, by which the
    video's second frame is late while the first one is stretched; zero is then one frame before the second.

    Raises:
        MediaError: a Matroska file with times before 0: libav drops those of its video.
    """
    start = stream.start_time or 0
    begin_s = (stream.container.start_time or 0) / 1e6
    if stream.container.format.name.startswith("matroska") and begin_s < MIN_START_S:
        raise MediaError("negative times", f"Matroska from {begin_s:.2f} s on; Matroska's times begin at 0")
    if not stream.container.format.name.startswith("mov") or stream.frames:
        return float(start * stream.time_base)
    times = [entry.timestamp for entry in list(stream.index_entries)[:3]]
    audio = next(iter(stream.container.streams.audio), None)
    if len(times) == 3 and audio is not None and audio.codec_context is not None:
        stretched = times[1] - times[0] - (times[2] - times[1])
        delay = Fraction(1024, audio.rate) / stream.time_base if audio.codec_context.name == "aac" else 0
        if delay and abs(stretched - delay) <= 2:
            start += stretched
    return float(start * stream.time_base)
