"""Audio of any file that PyAV decodes, on the clock of the file's video, in pieces or complete.

Legend: C channels, S samples (float32, full scale is -1..1).
"""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr

from src.core.media_io.audio import DEFAULT_LAYOUTS, Audio, mixdown_matrix
from src.core.media_io.audio_decoder import AudioDecoder, channel_names, open_audio_stream
from src.core.media_io.container import (
    Source,
    load_source,
)
from src.core.media_io.errors import STRICT, EventLog, MediaError, MediaEvent
from src.core.media_io.timeline import MAX_GAP_S

_PREROLL_S = 1.0  # decoded and resampled before a start, so that it sounds as in the complete file
_PIECE_S = 1.0
MAX_LATE_S = 3600.0  # a track that begins later than this after the video is a jump of the clock


@dataclass(frozen=True)
class AudioFormat:
    """Format of what `audio_pieces` yields: the rate in Hz and the names of the channels."""

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
    with open_audio_stream(source, index) as stream:
        names = channel_names(stream)
        form = AudioFormat(rate or stream.rate, DEFAULT_LAYOUTS[channels] if channels else names)
        decoded = AudioDecoder(source, stream.index, stream.rate, names, log)
    matrix = None if channels in (None, len(names)) else mixdown_matrix(names, channels)
    return form, _rebatch(_window(decoded, matrix, form, start_s, end_s), round(_PIECE_S * form.rate))


def _window(
    decoded: AudioDecoder, matrix: np.ndarray | None, form: AudioFormat, start_s: float, end_s: float | None
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
    decoded: AudioDecoder, start: int, matrix: np.ndarray | None, end_s: float | None
) -> Iterator[np.ndarray]:
    """Yield samples from position `start` on without gaps: silence fills them, up to a jump of the clock."""
    at, heard = start, False
    end = None if end_s is None else math.ceil(end_s * decoded.rate)
    for position, samples_CS in decoded.runs(start):
        if position + samples_CS.shape[1] <= at:
            continue
        if position > at:
            gap = position - at
            gap_s, at_s = gap / decoded.rate, at / decoded.rate
            if end is None and gap_s > (MAX_GAP_S if heard else MAX_LATE_S):
                decoded.log.add("clock jump", f"audio, {gap_s:.1f} s without samples", at_s)
                return
            if heard:
                decoded.log.add("audio gap", f"{gap_s:.3f} s of silence", at_s)
            gap = gap if end is None else min(gap, max(end - at, 0))
            num_channels = len(samples_CS) if matrix is None else len(matrix)
            while gap > 0:
                size = min(gap, decoded.rate)
                yield np.zeros((num_channels, size), np.float32)
                gap, at = gap - size, at + size
            if at < position:
                return
        kept_CS, heard = samples_CS[:, at - position :], True
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
