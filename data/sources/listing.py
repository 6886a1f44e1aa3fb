"""The list of inputs of a source: usable ones, rejected and skipped ones with reasons, notes for the user."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.work_units import Input

SKIPPED = "skipped: "  # begins the reason of what was passed over on purpose, such as hidden files


@dataclass
class Listing:
    """Inputs in a fixed order, and what the user should know about the list itself."""

    items: list[Input] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def rejected_input(path: str, reason: str, detail: str = "") -> Input:
    """Return an input that only enters rejected.jsonl and the closing table."""
    return {"path": path, "reason": reason, "detail": detail}


def skipped_input(path: str, reason: str, detail: str = "") -> Input:
    return rejected_input(path, SKIPPED + reason, detail)


def printable(name: str) -> str:
    """Return a file's name with bytes that are not UTF-8 escaped, such as caf\\xe9.mp4."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def is_utf8(name: str) -> bool:
    """Return whether a file's name is UTF-8: Python marks other bytes as lone surrogates."""
    return not any("\udc80" <= c <= "\udcff" for c in name)


def stamp_of(status: os.stat_result) -> dict[str, int]:
    """Return size and modification time, by which a changed file is noticed."""
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}


def stamp_file(path: Path | str) -> dict[str, Any]:
    """Return the stamp of a file, or the reason why there is none: missing, no file, no legal path."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        detail = getattr(error, "strerror", None) or str(error)
        return {"reason": "missing file" if missing else "bad path", "detail": detail}
    if not os.path.isfile(path):
        return {"reason": "missing file", "detail": "not a file"}
    return stamp_of(status)
