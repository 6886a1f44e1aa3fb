"""Frames of video files through PyAV, one at a time: constant memory, presentation times, one clock.

Legend: H, W as displayed; C = 3 (RGB, uint8).
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import av

from src.core.media_io import animation
from src.core.media_io.container import (
    Source,
    load_source,
    open_container,
    opening_fault,
    select_stream,
)
from src.core.media_io.errors import STRICT, EventLog, MediaError, MediaEvent
from src.core.media_io.frames import Frame, resample_frames
from src.core.media_io.integrity import HeaderFacts, read_header_facts
from src.core.media_io.pixels import StreamView, display_matrix, is_stored_as_displayed, swaps_axes, to_rgb
from src.core.media_io.seeking import beginnings
from src.core.media_io.timeline import Timeline, clock_zero, stream_rate
from src.core.media_io.video_decoder import TimedFrame, decode_video


@dataclass
class VideoReader:
    """A video file: facts of its header, its frames, and what was noticed while reading them.

    `fps` is the stream's rate, `tick_s` the precision of its times, `duration_s` the promised length or None.
    """

    fps: float
    has_audio: bool
    tick_s: float
    duration_s: float | None
    stream_index: int
    _source: Path | str | bytes
    _aspect: float
    _raise_on: frozenset[str]
    _facts: HeaderFacts
    _opened: list[tuple[Any, Any]]
    _motion_vectors: bool = False
    events: list[MediaEvent] = field(default_factory=list)

    def frames(
        self, start_s: float = 0.0, end_s: float | None = None, *, fps: float | None = None
    ) -> Iterator[Frame]:
        """Yield the frames first shown in [start_s, end_s); with `fps`, the frame on the screen at each tick.

        Raises:
            MediaError: a fault in `raise_on`, or nothing can be decoded; earlier frames have been yielded.
        """
        log = EventLog(self._raise_on)
        log.events = self.events
        frames = self._frames(start_s, end_s, fps is not None, log)
        return resample_frames(frames, fps, start_s, end_s, self.tick_s) if fps else frames

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width as displayed, of the first frame."""
        return self._first[0]

    @cached_property
    def pixel_aspect(self) -> float:
        """Width of a displayed pixel over its height."""
        return 1 / self._aspect if self._aspect != 1 and self._first[1] else self._aspect

    @cached_property
    def num_frames(self) -> int:
        """Number of frames, counted without decoding where the header does not say it."""
        with _open(self._source, self.stream_index) as (container, stream):
            if stream.frames and not container.format.name.startswith("mov"):  # edit lists leave frames out
                return stream.frames
            count = 0
            try:
                for packet in container.demux(stream):
                    count += packet.size > 0 and not packet.is_discard
            except av.FFmpegError:  # reported when the frames are read
                pass
            return count

    @cached_property
    def _first(self) -> tuple[tuple[int, int], bool]:
        """Size of the first frame, and whether it is displayed turned by a quarter."""
        with _open(self._source, self.stream_index) as (container, stream):
            log = EventLog(frozenset())  # faults are reported when the frames are read
            timeline = Timeline(stream, clock_zero(stream), self.fps, log)
            for frame, *_ in decode_video(container, stream, timeline, log):
                turned = swaps_axes(display_matrix(frame))
                return ((frame.width, frame.height) if turned else (frame.height, frame.width)), turned
        raise MediaError("no frames", "no frame can be decoded")

    def _frames(
        self, start_s: float, end_s: float | None, with_shown: bool, log: EventLog
    ) -> Iterator[Frame]:
        """Yield frames with their time on the screen; `with_shown` begins with the frame shown at start_s."""
        held: TimedFrame | None = None
        views: list[StreamView] = []
        fault: MediaError | None = None
        try:
            for timed in self._decoded(start_s, log):
                _, time_s, _, segment = timed
                if end_s is not None and time_s >= end_s - 1e-6:
                    break
                if held is not None and (
                    held[1] >= start_s - 1e-6 or (with_shown and time_s > start_s + 1e-6)
                ):
                    shown_s = time_s - held[1] if held[3] == segment else held[2]
                    yield _to_frame((held[0], held[1], shown_s, held[3]), views)
                held = timed
        except MediaError as error:
            fault = error
        if held is not None and (held[1] >= start_s - 1e-6 or (with_shown and held[1] + held[2] > start_s)):
            yield _to_frame(held, views)
        if fault is not None:
            raise fault

    def _decoded(self, start_s: float, log: EventLog) -> Iterator[TimedFrame]:
        """Yield decoded frames with time, own duration and segment; from the key frame before `start_s`."""
        for beginning in beginnings(start_s):
            with self._stream() as (container, stream):
                if self._motion_vectors:
                    stream.codec_context.flags2 |= av.codec.context.Flags2.export_mvs
                frames = beginning.frames(container, stream, self.fps, log)
                if frames is None:
                    continue
                if fault := opening_fault(container):
                    log.add(fault[0], f"at the opening: {fault[1]}")
                last: TimedFrame | None = None
                for timed in frames:
                    yield timed
                    last = timed
                if last is not None:
                    self._facts.check_end(last[1] + last[2], last[2], log)
                self._facts.check_unchanged(log)
                return

    @contextmanager
    def _stream(self) -> Iterator[tuple[Any, Any]]:
        """Yield container and stream before their first packet: once those of the opening, then new ones."""
        if self._opened:
            yield self._opened.pop()
            return
        with _open(self._source, self.stream_index) as opened:
            yield opened


def _to_frame(timed: TimedFrame, views: list[StreamView]) -> Frame:
    """Convert a frame; `views` holds the view of the stream once there is one."""
    frame, time_s, duration_s, segment = timed
    if not views:
        views.append(StreamView.of(frame))
    native = frame if is_stored_as_displayed(frame, views[0]) else None
    return Frame(to_rgb(frame, views[0]), time_s, duration_s, segment, native)


@contextmanager
def _open(source: Path | str | bytes, index: int | None) -> Iterator[tuple[Any, Any]]:
    with open_container(source) as container:
        yield container, select_stream(container, "video", index)


@contextmanager
def open_video(
    source: Source,
    *,
    stream: int | None = None,
    raise_on: Collection[str] = STRICT,
    motion_vectors: bool = False,
) -> Iterator[VideoReader]:
    """Open a video file, or its bytes.

    Args:
        stream: the index of a video stream in the file; None chooses the best one, never a cover image.
        raise_on: reasons that end reading with a MediaError: "damaged" (a corrupt frame), "truncated" (less
            than the header promises), "changed while it was read", "clock jump", "clock starts again". The
            others are added to the reader's `events`, and reading continues after the fault.
        motion_vectors: leave the codec's motion vectors in the side data of each `Frame.native`.

    Raises:
        MediaError: "missing file", "unreadable", "not a media file", "missing codec", "no such stream", or
            "audio only" (no video stream).
    """
    source = load_source(source)
    if animation.handles(source):
        yield animation.AnimationReader(source, frozenset(raise_on))
        return
    with _open(source, stream) as (container, chosen):
        rate = stream_rate(chosen)
        if rate <= 0:
            raise MediaError("unreadable", "no frame rate")
        aspect = float(chosen.sample_aspect_ratio or 1) or 1.0
        facts = read_header_facts(source, container, chosen, clock_zero(chosen))
        reader = VideoReader(
            fps=float(rate),
            has_audio=bool(container.streams.audio),
            tick_s=float(chosen.time_base or 0),
            duration_s=facts.duration_s,
            stream_index=chosen.index,
            _source=source,
            _aspect=aspect,
            _raise_on=frozenset(raise_on),
            _facts=facts,
            _opened=[(container, chosen)],
            _motion_vectors=motion_vectors,
        )
        yield reader
