"""Promises of a file's header, compared with what was read: length, size, and that it stays the same."""

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import av

from src.core.media_io.endings import breaks_off
from src.core.media_io.errors import EventLog

# And MP3 with a table of its frames; others estimate durations from the bit rate.
_PROMISING = ("mov", "matroska", "avi", "asf", "flv")
_SLACK_S = 0.1


@dataclass(frozen=True)
class HeaderFacts:
    """The promised duration in seconds (None: none), and the state of the file when it was opened.

    `is_cut`: whether boxes or chunks end after the file; None if that cannot be told.
    """

    duration_s: float | None
    slack_s: float
    is_cut: bool | None
    counts_empty_chunks: bool
    path: Path | None
    state: tuple[int, int]

    def check_end(self, end_s: float, frame_s: float, log: EventLog) -> None:
        """Report "truncated" if reading ended before what was promised; empty chunks promise nothing."""
        missing_s = 0.0 if self.duration_s is None else self.duration_s - end_s
        if missing_s > max(self.slack_s, 2 * frame_s):
            detail = f"{end_s:.2f} s of {self.duration_s:.2f} s"
            if self.counts_empty_chunks and self.is_cut is False:
                log.add("empty chunks", f"{detail}; the file is complete", end_s)
            else:
                log.add("truncated", detail, end_s)
        elif self.is_cut:
            log.add("truncated", f"the file breaks off; {end_s:.2f} s were read", end_s)

    def check_unchanged(self, log: EventLog) -> None:
        """Report "changed while it was read" if size or time of the file are not those at the opening."""
        if self.path is not None and _state(self.path) != self.state:
            log.add("changed while it was read", f"{self.state[0]} bytes, now {_state(self.path)[0]}")


def read_header_facts(source: Path | str | bytes, container: Any, stream: Any, zero_s: float) -> HeaderFacts:
    """Return what the header of an open file says about a stream."""
    path = None if isinstance(source, bytes) else Path(source)
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        is_cut = breaks_off(file, container.format.name)
        duration_s, slack_s = _promised_duration(file, container, stream, zero_s)
    is_avi = container.format.name == "avi"
    state = _state(path) if path else (0, 0)
    return HeaderFacts(duration_s, slack_s, is_cut, is_avi, path, state)


def _promised_duration(
    file: BinaryIO, container: Any, stream: Any, zero_s: float
) -> tuple[float | None, float]:
    """Return seconds from the video's first frame to the end of the stream, and their precision."""
    name = container.format.name
    if not name.startswith(_PROMISING) and not (name == "mp3" and _has_mp3_table(file)):
        return None, _SLACK_S
    if name.startswith("mov") and not stream.frames:
        return None, _SLACK_S  # fragmented: known only once all fragments are read
    if stream.duration:
        start_s = float((stream.start_time or 0) * stream.time_base) - zero_s
        return float(stream.duration * stream.time_base) + start_s, _SLACK_S
    if tag := stream.metadata.get("DURATION"):
        hours, minutes, seconds = tag.split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds) - zero_s, _SLACK_S
    if container.duration is None:
        return None, _SLACK_S
    duration_s = container.duration / av.time_base - zero_s
    # the length of the longest stream, which may be another one
    return duration_s, max(1.0, 0.05 * duration_s) if len(container.streams) > 1 else _SLACK_S


def _has_mp3_table(file: BinaryIO) -> bool:
    """True if the first frame of an MP3 file, after its tag, states the number of frames."""
    file.seek(0)
    header = file.read(10)
    tag = 0
    if header.startswith(b"ID3") and len(header) == 10:
        tag = 10 + sum(byte << shift for byte, shift in zip(header[6:], (21, 14, 7, 0), strict=True))
    file.seek(tag)
    start = file.read(200)
    return b"Xing" in start or b"Info" in start


def _state(path: Path) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns
