"""Ends of files: one breaks off if its last box, chunk, page or block is longer than what is there of it."""

import os
import struct
from collections.abc import Callable
from typing import BinaryIO

_UNKNOWN_SIZES = (0, 0x7FFFFFFF, 0xFFFFFFFF)  # what recorders that were killed leave
_W64_MAGIC = b"riff\x2e\x91\xcf\x11"


def breaks_off(file: BinaryIO, container: str) -> bool | None:
    """Return whether a file ends too early, from its structure alone; None where that cannot be told.

    Args:
        container: libav's name of the format.
    """
    check = _CHECKS.get(container.split(",")[0])
    return None if check is None else check(file, file.seek(0, os.SEEK_END))


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


def _boxes(file: BinaryIO, size: int) -> bool:
    """MP4: the last top-level box ends after the file."""
    at = 0
    while at + 8 <= size:
        header = _read(file, at, 16)
        length = struct.unpack(">I", header[:4])[0]
        if length == 1 and len(header) == 16:
            length = struct.unpack(">Q", header[8:])[0]
        if length == 0:  # to the end of the file
            return False
        if length < 8 or not header[4:8].isalnum():
            return False  # no box: other data follows the media
        at += length
    return at > size


def _riff(file: BinaryIO, size: int) -> bool | None:
    """AVI and WAV: the last RIFF chunk; long AVI files are several."""
    at = 0
    while at + 8 <= size:
        header = _read(file, at, 8)
        length = struct.unpack("<I", header[4:])[0]
        if not header.startswith(b"RIFF"):  # other data follows the media
            return False if at else None
        if length in _UNKNOWN_SIZES or length > 0x7FFFFFFF:
            return None
        if at + 8 + length > size:
            return True
        at += 8 + length + length % 2
    return False


def _aiff(file: BinaryIO, size: int) -> bool | None:
    header = _read(file, 0, 8)
    length = struct.unpack(">I", header[4:])[0] if header.startswith(b"FORM") and len(header) == 8 else 0
    return None if length in _UNKNOWN_SIZES else length + 8 > size


def _w64(file: BinaryIO, size: int) -> bool | None:
    header = _read(file, 0, 24)
    return struct.unpack("<Q", header[16:])[0] > size if header.startswith(_W64_MAGIC) else None


def _au(file: BinaryIO, size: int) -> bool | None:
    header = _read(file, 0, 12)
    if len(header) < 12:
        return None
    start, length = struct.unpack(">4xII", header)
    return None if length in _UNKNOWN_SIZES else start + length > size


def _caf(file: BinaryIO, size: int) -> bool | None:
    at = 8
    while at + 12 <= size:
        length = struct.unpack(">q", _read(file, at + 4, 8))[0]
        if length < 0:  # of audio data: to the end of the file
            return None
        at += 12 + length
    return at > size


def _ogg(file: BinaryIO, size: int) -> bool | None:
    """Ogg: the last page that begins in the file."""
    tail = _read(file, max(size - 70_000, 0), 70_000)  # a page has 65,307 bytes at most
    at = tail.rfind(b"OggS\0")
    if at < 0:
        return None
    num_segments = tail[at + 26] if at + 26 < len(tail) else 256
    table = tail[at + 27 : at + 27 + num_segments]
    return len(table) < num_segments or at + 27 + num_segments + sum(table) > len(tail)


def _transport(file: BinaryIO, size: int) -> bool:
    """MPEG transport streams: packets of 188 bytes, of 192 with times, of 204 with parity."""
    return all(size % length for length in (188, 192, 204))


def _gif(file: BinaryIO, size: int) -> bool:
    """GIF: a block that ends after the file; the trailer itself may be missing."""
    file.seek(0)
    header = file.read(13)
    file.seek(3 << (header[10] & 7) + 1 if header[10] & 0x80 else 0, os.SEEK_CUR)
    while (kind := file.read(1)) in (b"!", b","):
        if kind == b"!":
            file.seek(1, os.SEEK_CUR)
        else:
            place = file.read(9)
            colors = place[-1] if len(place) == 9 else 0
            file.seek((3 << (colors & 7) + 1 if colors & 0x80 else 0) + 1, os.SEEK_CUR)
        while length := file.read(1):
            if length == b"\0":
                break
            file.seek(length[0], os.SEEK_CUR)
        else:
            return True
    return file.tell() > size


_CHECKS: dict[str, Callable[[BinaryIO, int], bool | None]] = {
    "mov": _boxes,
    "avi": _riff,
    "wav": _riff,
    "aiff": _aiff,
    "w64": _w64,
    "au": _au,
    "caf": _caf,
    "ogg": _ogg,
    "mpegts": _transport,
    "gif": _gif,
}
