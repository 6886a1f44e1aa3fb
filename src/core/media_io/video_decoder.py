"""Decode a video stream: frames in presentation order with times; corrupt ones end segments or raise."""

from collections.abc import Iterator
from typing import Any

import av

from src.core.media_io.container import CHECKSUMS, captured_messages, find_damage
from src.core.media_io.deinterlacing import deinterlaced
from src.core.media_io.errors import EventLog, one_line
from src.core.media_io.timeline import Timeline

_ALPHA_DECODERS = {"vp9": "libvpx-vp9", "vp8": "libvpx"}  # libav's own decoders leave alpha out

TimedFrame = tuple[Any, float, float, int]
"""A decoded frame, its time, its own duration (seconds), and its segment."""


def decode_video(
    container: Any, stream: Any, timeline: Timeline, log: EventLog, full_from: int | None = None
) -> Iterator[TimedFrame]:
    """Decode frames in presentation order and time them; corrupt ones end the segment or raise.

    Args:
        full_from: before this presentation time (of the stream's clock) only frames are decoded that others
            refer to.
    """
    decoder, healthy, count, cut = decoder_of(stream), True, 0, ""
    found_key = False
    pending: TimedFrame | None = None  # given up if damage follows: some decoders notice it one frame late
    for frame, fault in deinterlaced(_raw_frames(container, stream, decoder, timeline, full_from)):
        if fault is not None and fault[0] == "truncated":  # the frames before still come out of the decoder
            cut = fault[1]
            continue
        time_s = timeline.time_of(frame) if frame is not None else None
        found_key = found_key or bool(frame is not None and frame.key_frame)
        if frame is None or frame.is_corrupt:
            what = fault[1] if fault is not None else f"corrupt frame at {time_s:.3f} s"
            if found_key:  # before the first key frame there is nothing to lose
                log.add("damaged", f"after {count} frames: {what}", time_s)
            timeline.segment += healthy
            healthy, pending = False, None
            continue
        if not healthy:
            if not frame.key_frame:  # it was predicted from what is missing
                continue
            healthy = True
        if pending is not None:
            count += 1
            yield pending
        pending = frame, time_s, timeline.duration_of(frame), timeline.segment
    if pending is not None:
        count += 1
        yield pending
    if cut:
        log.add("truncated", f"after {count} frames: {cut}")


def _raw_frames(
    container: Any, stream: Any, decoder: Any, timeline: Timeline, full_from: int | None
) -> Iterator[tuple[Any, tuple[str, str] | None]]:
    """Yield decoded frames, or in their place reason and message of a fault."""
    packets = container.demux(stream)
    while True:
        frames: list[Any] = []
        fault = None
        packet = None
        with captured_messages() as messages:
            try:
                packet = next(packets, None)
                if packet is not None:
                    timeline.add_packet(packet)
                    if full_from is not None and packet.pts is not None:
                        decoder.skip_frame = "NONREF" if packet.pts < full_from else "DEFAULT"
                    frames = decoder.decode(packet)
            except (av.FFmpegError, ValueError, OSError) as error:
                fault = "damaged", one_line(error)
                if packet is not None:
                    timeline.drop_packet(packet)
        fault = fault or find_damage(messages)
        if fault is not None:
            yield None, fault
        for frame in frames:
            yield frame, None
        if packet is None:
            if fault is None:
                return
            packets = iter(())  # demuxing failed: nothing follows


def decoder_of(stream: Any) -> Any:
    """Return the stream's decoder; for VP8 and VP9 with alpha, the one that decodes alpha."""
    context = stream.codec_context
    name = _ALPHA_DECODERS.get(context.name)
    if name is not None and stream.metadata.get("alpha_mode") == "1":
        context = av.CodecContext.create(name, "r")
        context.extradata = stream.codec_context.extradata
    context.options = dict(CHECKSUMS)
    context.thread_type = "NONE"  # processes are the parallelism, and results repeat exactly
    return context
