"""Decode an audio stream: runs of samples at their positions on the video's clock.

Legend: C channels, S samples (float32, full scale is -1..1).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from src.core.media_io.audio import DEFAULT_LAYOUTS
from src.core.media_io.container import (
    CHECKSUMS,
    captured_messages,
    find_damage,
    is_cover,
    open_container,
    opening_fault,
    select_stream,
)
from src.core.media_io.errors import EventLog, MediaError, one_line
from src.core.media_io.integrity import read_header_facts
from src.core.media_io.timeline import clock_zero

MAX_CHANNELS = 8
_SEEKABLE = ("mov", "matroska", "wav", "flac")  # formats that seek to exact times
_JITTER_S = 0.01  # times that differ less follow each other; Matroska rounds to 1 ms


def channel_names(stream: Any) -> tuple[str, ...]:
    """Return the names of a stream's channels, those usual for their number if it names none.

    Raises:
        MediaError: "too many channels".
    """
    count = len(stream.layout.channels) or stream.channels
    if count > MAX_CHANNELS:
        raise MediaError("too many channels", f"{count}; at most {MAX_CHANNELS} are read")
    names = tuple(channel.name for channel in stream.layout.channels)
    known = names and not any(name.startswith(("NONE", "UNK", "USR", "AMBI")) for name in names)
    return names if known else DEFAULT_LAYOUTS[count]


@contextmanager
def open_audio_stream(source: Path | str | bytes, index: int | None) -> Iterator[Any]:
    """Open a file and yield its best or named audio stream; see `open_container` for the errors."""
    with open_container(source) as container:
        stream = select_stream(container, "audio", index)
        stream.thread_type = "NONE"  # results repeat exactly
        stream.codec_context.options = dict(CHECKSUMS)
        yield stream


@dataclass
class AudioDecoder:
    """The decoded audio of a file as runs of samples at positions on the clock."""

    source: Any
    index: int
    rate: int
    names: tuple[str, ...]
    log: EventLog

    def runs(self, from_sample: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (position in samples from the clock's zero, samples [C, S]), in order, perhaps with gaps."""
        with open_audio_stream(self.source, self.index) as stream:
            container = stream.container
            if fault := opening_fault(container):
                self.log.add(fault[0], f"audio, at the opening: {fault[1]}")
            zero_s = self._zero(container, stream)
            facts = read_header_facts(self.source, container, stream, zero_s)
            seekable = container.format.name.startswith(_SEEKABLE)
            if from_sample > 0 and seekable:
                target = round((from_sample / self.rate + zero_s) / stream.time_base)
                container.seek(target, stream=stream, backward=True)
            expected: int | None = None
            offset = 0
            last: tuple[int, np.ndarray, int] | None = None
            for samples_CS, time_s, stated in self._frames(container, stream):
                if last is not None:
                    yield last[:2]
                if expected is None and time_s is not None and not seekable and not _videos(container):
                    zero_s = time_s  # of the first sample; a header may count blocks that give none (WMA)
                position = expected or 0
                if time_s is not None:
                    position = round((time_s - zero_s) * self.rate) + offset
                if expected is not None and abs(position - expected) <= _JITTER_S * self.rate:
                    position = expected
                elif expected is not None and position < expected:
                    self.log.add(
                        "clock starts again", f"audio at {expected / self.rate:.3f} s", expected / self.rate
                    )
                    offset += expected - position
                    position = expected
                elif expected is not None and container.format.name == "flac":  # whose blocks are numbered
                    self.log.add("damaged", f"audio, after {expected / self.rate:.2f} s: blocks are missing")
                expected = position + samples_CS.shape[1]
                last = position, samples_CS, stated
            if last is not None:  # its end may be padding of the encoder's last block
                yield last[0], last[1][:, : last[2]]
            if expected is not None and not from_sample:
                facts.check_end(expected / self.rate, 1024 / self.rate, self.log)
            facts.check_unchanged(self.log)

    def _zero(self, container: Any, stream: Any) -> float:
        if _videos(container):
            return clock_zero(select_stream(container, "video", None))
        return float((stream.start_time or 0) * stream.time_base)

    def _frames(self, container: Any, stream: Any) -> Iterator[tuple[np.ndarray, float | None, int]]:
        """Yield samples, their time, and how many of them the file states to be heard."""
        # packed: PyAV 18 crashes on frames of eight planes
        to_float = av.AudioResampler(format="flt", layout=stream.layout, rate=stream.rate)
        packets = container.demux(stream)
        count = 0
        while True:
            frames, fault, packet = [], None, None
            with captured_messages() as messages:
                try:
                    packet = next(packets, None)
                    frames = packet.decode() if packet is not None else []
                except (av.FFmpegError, ValueError, OSError) as error:
                    fault = "damaged", one_line(error)
            fault = fault or find_damage(messages)
            if fault is not None:
                self.log.add(fault[0], f"audio, after {count / self.rate:.2f} s: {fault[1]}")
            for frame in frames:
                if frame.sample_rate != self.rate or len(frame.layout.channels) != len(self.names):
                    raise MediaError("audio format changes", "rate or channels change within the file")
                time_s = frame.time
                frame.pts = None  # else the resampler fills gaps between time stamps by itself
                stated = self._stated_samples(container, packet, frame)
                for each in to_float.resample(frame):
                    samples_CS = np.ascontiguousarray(each.to_ndarray().reshape(-1, len(self.names)).T)
                    if not np.isfinite(samples_CS).all():
                        raise MediaError("damaged", "samples are not finite")
                    count += samples_CS.shape[1]
                    yield samples_CS, time_s, stated
                    time_s = None
            if packet is None:
                if fault is None:
                    return
                packets = iter(())

    def _stated_samples(self, container: Any, packet: Any, frame: Any) -> int:
        """Return the samples of a packet by its duration, in formats that state it to the sample."""
        if packet is None or not packet.duration or not container.format.name.startswith("mov"):
            return frame.samples
        if packet.time_base * self.rate > 1:
            return frame.samples
        return min(round(packet.duration * packet.time_base * self.rate), frame.samples)


def _videos(container: Any) -> list[Any]:
    """Return the video streams that can be decoded, without covers."""
    return [s for s in container.streams.video if not is_cover(s) and s.codec_context is not None]
