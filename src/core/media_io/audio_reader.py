"""Audio of any file that PyAV decodes, on the clock of the file's video, in pieces or complete.

Legend: C channels, S samples (float32, full scale is -1..1).
"""

import math
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
import soxr

from src.core.media_io.audio import DEFAULT_LAYOUTS, Audio, mixdown_matrix
from src.core.media_io.container import (
    Source,
    captured_messages,
    find_damage,
    is_cover,
    load_source,
    open_container,
    select_stream,
)
from src.core.media_io.errors import STRICT, EventLog, MediaError, MediaEvent, one_line
from src.core.media_io.integrity import read_header_facts
from src.core.media_io.timeline import MAX_GAP_S, clock_zero

MAX_CHANNELS = 8
_SEEKABLE = ("mov", "matroska", "wav", "flac")  # formats that seek to exact times
_PREROLL_S = 1.0  # decoded and resampled before a start, so that it sounds as in the complete file
_JITTER_S = 0.01  # times that differ less follow each other; Matroska rounds to 1 ms
_PIECE_S = 1.0


@dataclass(frozen=True)
class AudioFormat:
    """What `audio_pieces` yields: the rate in Hz and the names of the channels."""

    rate: int
    channels: tuple[str, ...]


def read_audio(
    source: Source,
    *,
    rate: int | None = None,
    channels: int | None = None,
    start_s: float = 0.0,
    end_s: float | None = None,
    stream: int | None = None,
    raise_on: Collection[str] = STRICT,
) -> Audio:
    """Decode the audio of a file, of a video too, to floating point.

    Sample n is heard at start_s + n / rate on the video's clock, whose zero is the first frame: audio that
    begins later begins with silence, what is heard before the first frame is left out. Gaps are filled with
    silence. Without a video, zero is the first sample.

    Args:
        rate: resample to this rate; None keeps the file's.
        channels: mix down to 1 or 2; None keeps the file's.
        end_s: with an end the result has exactly round((end_s - start_s) * rate) samples, silence where the
            audio has none.
        stream: the index of an audio stream; None chooses the best one.
        raise_on: as for `open_video`.

    Raises:
        MediaError: as `open_video`; "no audio" (no stream, or no samples), "too many channels", "damaged" for
            samples that are not finite, "audio format changes".
    """
    log = EventLog(frozenset(raise_on))
    form, pieces = _open_pieces(source, rate, channels, start_s, end_s, stream, log)
    arrays = list(pieces)
    if not arrays:
        raise MediaError("no audio", "no audio samples")
    return Audio(np.concatenate(arrays, axis=1), form.rate, form.channels, tuple(log.events))


def audio_pieces(
    source: Source,
    *,
    rate: int | None = None,
    channels: int | None = None,
    start_s: float = 0.0,
    end_s: float | None = None,
    stream: int | None = None,
    raise_on: Collection[str] = STRICT,
) -> tuple[AudioFormat, Iterator[np.ndarray], list[MediaEvent]]:
    """Return the format, the samples of `read_audio` in pieces [C, S] of about a second, and the events.

    Memory does not grow with the length; the events are complete once the pieces are.
    """
    log = EventLog(frozenset(raise_on))
    return *_open_pieces(source, rate, channels, start_s, end_s, stream, log), log.events


def _open_pieces(
    source: Any,
    rate: int | None,
    channels: int | None,
    start_s: float,
    end_s: float | None,
    index: int | None,
    log: EventLog,
) -> tuple[AudioFormat, Iterator[np.ndarray]]:
    if channels not in (None, 1, 2):
        raise ValueError(f"channels: expected 1 or 2, got {channels}")
    source = load_source(source)
    with _open(source, index) as stream:
        names = channel_names(stream)
        form = AudioFormat(rate or stream.rate, DEFAULT_LAYOUTS[channels] if channels else names)
        decoded = _Decoded(source, stream.index, stream.rate, names, log)
    matrix = None if channels in (None, len(names)) else mixdown_matrix(names, channels)
    return form, _rebatch(_window(decoded, matrix, form, start_s, end_s), round(_PIECE_S * form.rate))


def channel_names(stream: Any) -> tuple[str, ...]:
    count = len(stream.layout.channels) or stream.channels
    if count > MAX_CHANNELS:
        raise MediaError("too many channels", f"{count}; at most {MAX_CHANNELS} are read")
    names = tuple(channel.name for channel in stream.layout.channels)
    known = names and not any(name.startswith(("NONE", "UNK", "USR", "AMBI")) for name in names)
    return names if known else DEFAULT_LAYOUTS[count]


class _open(ExitStack):
    """The audio stream of an open file."""

    def __init__(self, source: Any, index: int | None) -> None:
        super().__init__()
        self.source, self.index = source, index

    def __enter__(self) -> Any:  # type: ignore[override]
        super().__enter__()
        container = self.enter_context(open_container(self.source))
        stream = select_stream(container, "audio", self.index)
        stream.thread_type = "NONE"
        return stream


@dataclass
class _Decoded:
    """The decoded audio of a file as runs of samples at positions on the clock."""

    source: Any
    index: int
    rate: int
    names: tuple[str, ...]
    log: EventLog

    def runs(self, from_sample: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (position in samples from the clock's zero, samples [C, S]), in order, perhaps with gaps."""
        with _open(self.source, self.index) as stream:
            container = stream.container
            zero_s = self._zero(container, stream)
            if from_sample > 0 and container.format.name.startswith(_SEEKABLE):
                target = round((from_sample / self.rate + zero_s) / stream.time_base)
                container.seek(target, stream=stream, backward=True)
            expected: int | None = None
            offset = 0
            for samples_CS, time_s in self._frames(container, stream):
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
                expected = position + samples_CS.shape[1]
                yield position, samples_CS
            if expected is not None and not from_sample:
                facts = read_header_facts(self.source, container, stream, zero_s)
                facts.check_end(expected / self.rate, 1024 / self.rate, self.log)

    def _zero(self, container: Any, stream: Any) -> float:
        videos = [s for s in container.streams.video if not is_cover(s) and s.codec_context is not None]
        if videos:
            return clock_zero(select_stream(container, "video", None))
        return float((stream.start_time or 0) * stream.time_base)

    def _frames(self, container: Any, stream: Any) -> Iterator[tuple[np.ndarray, float | None]]:
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
                for each in to_float.resample(frame):
                    samples_CS = np.ascontiguousarray(each.to_ndarray().reshape(-1, len(self.names)).T)
                    if not np.isfinite(samples_CS).all():
                        raise MediaError("damaged", "samples are not finite")
                    count += samples_CS.shape[1]
                    yield samples_CS, time_s
                    time_s = None
            if packet is None:
                if fault is None:
                    return
                packets = iter(())


def _window(
    decoded: _Decoded, matrix: np.ndarray | None, form: AudioFormat, start_s: float, end_s: float | None
) -> Iterator[np.ndarray]:
    """Yield the samples of [start_s, end_s) at the output's rate and channels."""
    divisor = math.gcd(decoded.rate, form.rate)
    block_in, block_out = decoded.rate // divisor, form.rate // divisor  # equal times in both rates
    first_out = round(start_s * form.rate)
    last_out = None if end_s is None else first_out + round((end_s - start_s) * form.rate)
    blocks = max(0, math.floor((start_s - _PREROLL_S) * decoded.rate / block_in))
    at_out = blocks * block_out
    pieces = _contiguous(decoded, blocks * block_in, matrix, None if end_s is None else end_s + _PREROLL_S)
    for samples_CS in _resampled(pieces, decoded.rate, form):
        left, right = max(first_out - at_out, 0), samples_CS.shape[1]
        if last_out is not None:
            right = min(right, last_out - at_out)
        at_out += samples_CS.shape[1]
        if right > left:
            yield samples_CS[:, left:right]
        if last_out is not None and at_out >= last_out:
            return
    if last_out is not None:
        missing = last_out - max(at_out, first_out)
        while missing > 0:
            size = min(missing, form.rate)
            yield np.zeros((len(form.channels), size), np.float32)
            missing -= size


def _contiguous(
    decoded: _Decoded, start: int, matrix: np.ndarray | None, end_s: float | None
) -> Iterator[np.ndarray]:
    """Yield samples from position `start` on without gaps: silence fills them, up to a jump of the clock."""
    at = start
    end = None if end_s is None else math.ceil(end_s * decoded.rate)
    for position, samples_CS in decoded.runs(start):
        if position + samples_CS.shape[1] <= at:
            continue
        if position > at:
            gap = position - at
            if gap > MAX_GAP_S * decoded.rate and end is None:
                decoded.log.add(
                    "clock jump", f"audio, {gap / decoded.rate:.1f} s without samples", at / decoded.rate
                )
                return
            gap = gap if end is None else min(gap, max(end - at, 0))
            num_channels = len(samples_CS) if matrix is None else len(matrix)
            while gap > 0:
                size = min(gap, decoded.rate)
                yield np.zeros((num_channels, size), np.float32)
                gap, at = gap - size, at + size
            if at < position:
                return
        kept_CS = samples_CS[:, at - position :]
        yield kept_CS if matrix is None else matrix @ kept_CS
        at = position + samples_CS.shape[1]
        if end is not None and at >= end:
            return


def _resampled(pieces: Iterator[np.ndarray], rate: int, form: AudioFormat) -> Iterator[np.ndarray]:
    if rate == form.rate:
        yield from pieces
        return
    stream: soxr.ResampleStream | None = None
    for samples_CS in pieces:
        if stream is None:
            stream = soxr.ResampleStream(rate, form.rate, len(samples_CS), dtype="float32")
        out_SC = stream.resample_chunk(np.ascontiguousarray(samples_CS.T, np.float32))
        yield np.ascontiguousarray(out_SC.reshape(-1, len(samples_CS)).T)
    if stream is not None:
        channels = len(form.channels)
        out_SC = stream.resample_chunk(np.zeros((0, channels), np.float32), last=True)
        yield np.ascontiguousarray(out_SC.reshape(-1, channels).T)


def _rebatch(pieces: Iterator[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Yield the same samples in pieces of at least `size`, except the last."""
    held: list[np.ndarray] = []
    count = 0
    for piece in pieces:
        if piece.shape[1]:
            held.append(piece)
            count += piece.shape[1]
        if count >= size:
            yield np.concatenate(held, axis=1)
            held, count = [], 0
    if held:
        yield np.concatenate(held, axis=1)
