"""Open containers safely: only media formats, no playlists, no protocols; choose streams; notice damage."""

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.logging

from src.core.media_io.errors import MediaError, one_line

Source = Path | str | bytes | BinaryIO  # a path, the bytes of a file, or an open binary file

# Demuxers that read the file itself. Those that name other files (hls, dash, concat, image sequences) and
# devices stay out, under any name of a file.
FORMATS = (
    "mov,matroska,avi,flv,asf,mpegts,mpeg,mpegvideo,m4v,h264,hevc,obu,ivf,ogg,gif,apng,mxf,nut,yuv4mpegpipe,"
    "dv,rm,wav,w64,flac,mp3,aac,ac3,eac3,aiff,au,caf,amr,wv"
)
OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
# What libav reports about broken data without raising an error.
DAMAGE_MESSAGES = (
    "invalid as first byte of an EBML number",
    "Invalid NAL unit size",
    "error while decoding MB",
    "concealing",
    "damaged at",
    "header damaged",
    "Error at MB",
    "CRC mismatch",
    "CRC error",
)
CHECKSUMS = {"err_detect": "crccheck"}  # of FLAC, WavPack and others, which decode to noise without complaint
# Of these a file's demuxer speaks once, perhaps already when the file is opened.
DEMUXER_MESSAGES = ("invalid as first byte of an EBML number", "CRC mismatch")
CUT_MESSAGES = ("File ended prematurely",)
_STARTS = {  # first bytes of what is often saved under a media file's name
    b"#EXTM3U": "a playlist, which names other files",
    b"ffconcat": "a list of other files",
    b"[playlist]": "a playlist, which names other files",
    b"version https://git-lfs": "a git-lfs pointer; run git lfs pull",
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"<?xml": "an XML document",
}


def load_source(source: Source) -> Path | str | bytes:
    """Return a path as it is, and what an open file holds as bytes, which can be read more than once."""
    return source if isinstance(source, str | bytes | Path) else source.read()


def printable(source: Source) -> str:
    """Return a file's name for messages, bytes that are no UTF-8 escaped."""
    if not isinstance(source, str | Path):
        return "media"
    return os.fsencode(source).decode("utf-8", "backslashreplace")


def printable_stem(path: Path) -> str:
    """Return a file's name without suffix, bytes that are no UTF-8 replaced: it can name an output."""
    return os.fsencode(path.stem).decode("utf-8", "replace")


def check_is_file(source: Source) -> None:
    """Check that a path names a file that is neither empty nor obviously something else.

    Raises:
        MediaError: "missing file", "unreadable", or "not a media file" with what it is.
    """
    if not isinstance(source, str | Path):
        return
    try:
        if not Path(source).is_file():
            raise MediaError("missing file", printable(source))
        with open(source, "rb") as file:
            start = file.read(64)
    except OSError as error:
        raise MediaError("unreadable", one_line(error)) from None
    if not start:
        raise MediaError("unreadable", "the file is empty")
    for signature, what in _STARTS.items():
        if start.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(signature.lower()):
            raise MediaError("not a media file", what)


@contextmanager
def open_container(source: Path | str | bytes) -> Iterator[Any]:
    """Open a media file, or its bytes, for demuxing.

    Raises:
        MediaError: "missing file", "unreadable", "not a media file".
    """
    check_is_file(source)
    set_up_logging()
    with captured_messages() as messages:
        try:
            container, file = _open(source)
        except (av.FFmpegError, ValueError, OSError) as error:
            failure: BaseException | None = error
        else:
            failure = None
    if failure is not None:
        raise MediaError("unreadable", "; ".join([one_line(failure), *(m.strip() for m in messages[:1])]))
    found = [m for m in messages if any(each in m for each in DEMUXER_MESSAGES)]
    _OPENING_FAULTS[id(container)] = find_damage(found)
    try:
        with container:
            yield container
    finally:
        _OPENING_FAULTS.pop(id(container), None)
        if file is not None:
            file.close()


_OPENING_FAULTS: dict[int, tuple[str, str] | None] = {}  # by id of open containers


def opening_fault(container: Any) -> tuple[str, str] | None:
    """Return reason and message of damage that was noticed when a file was opened."""
    return _OPENING_FAULTS.get(id(container))


def _open(source: Path | str | bytes) -> tuple[Any, BinaryIO | None]:
    """Return the container, and the file object to close after it."""
    if isinstance(source, bytes):
        file = io.BytesIO(source)
        return av.open(file, metadata_errors="replace", options=dict(OPTIONS)), file
    path = os.path.abspath(source)
    # libav takes UTF-8 names below 1,024 bytes only; Python opens the others
    if len(os.fsencode(path)) > 900 or any("\udc80" <= c <= "\udcff" for c in path):
        file = open(path, "rb")  # noqa: SIM115  closed by open_container
        try:
            return av.open(file, metadata_errors="replace", options=dict(OPTIONS)), file
        except BaseException:
            file.close()
            raise
    return av.open(f"file:{path}", metadata_errors="replace", options=dict(OPTIONS)), None


def select_stream(container: Any, kind: str, index: int | None, related: Any = None) -> Any:
    """Return the stream of a kind ("video", "audio"): the named one, else libav's best; no cover images.

    Raises:
        MediaError: "audio only", "no audio", "no frames", "no such stream", or "missing codec".
    """
    streams = [s for s in getattr(container.streams, kind) if not is_cover(s)]
    if index is not None:
        chosen = next((s for s in streams if s.index == index), None)
        if chosen is None:
            have = ", ".join(str(s.index) for s in streams) or "none"
            raise MediaError("no such stream", f"{kind} stream {index}; there are: {have}")
        return _check_codec(chosen)
    if not streams:
        if kind == "audio":
            raise MediaError("no audio", "no audio stream")
        raise MediaError(
            *(("audio only", "no video stream") if container.streams.audio else _unknown(container))
        )
    usable = [s for s in streams if s.codec_context is not None] or streams
    best = container.streams.best(kind, related=related)
    return _check_codec(best if best in usable else usable[0])


def _unknown(container: Any) -> tuple[str, str]:
    """Return reason and detail for a container without a video stream that can be decoded."""
    unknown = [s for s in container.streams if s.type == "data" or s.codec_context is None]
    return ("missing codec", f"stream {unknown[0].index}") if unknown else ("unreadable", "no video stream")


def _check_codec(stream: Any) -> Any:
    if stream.codec_context is None:
        raise MediaError("missing codec", f"no decoder for {stream.type} stream {stream.index}")
    return stream


def is_cover(stream: Any) -> bool:
    """True for album art inside a music file, a video stream of one frame."""
    return bool(int(stream.disposition) & int(av.stream.Disposition.attached_pic))


_LOGGING: list[bool] = []


def set_up_logging() -> None:
    """Let libav report errors to `captured_messages`, and nowhere else."""
    if not _LOGGING:
        logging.getLogger("libav").addHandler(logging.NullHandler())
        logging.getLogger("libav").propagate = False
        av.logging.set_level(av.logging.ERROR)
        av.logging.set_skip_repeated(False)  # a repeated message may be another file's
        _LOGGING.append(True)


class captured_messages:
    """Collect what libav reports in this thread; the list is filled when the context ends."""

    def __enter__(self) -> list[str]:
        self._messages: list[str] = []
        self._capture = av.logging.Capture(local=True)
        self._logs = self._capture.__enter__()
        return self._messages

    def __exit__(self, *raised: object) -> None:
        self._capture.__exit__(*raised)
        self._messages.extend(log[2] for log in self._logs)


def find_damage(messages: list[str]) -> tuple[str, str] | None:
    """Return reason and message of the first report of broken or missing data, if there is one."""
    for message in messages:
        for reason, known in (("damaged", DAMAGE_MESSAGES), ("truncated", CUT_MESSAGES)):
            if any(each in message for each in known):
                return reason, " ".join(message.split())[:200]
    return None
