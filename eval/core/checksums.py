"""Checksums of files that a number depends on: weights, statistics, programs."""

from pathlib import Path

from src.core.hashing import file_sha256


def verified_sha256(path: str | Path, expected: str = "", what: str = "weights") -> str:
    """Return the sha256 of a file after comparing it with the expected one.

    Args:
        expected: hex digest, in either case; empty accepts any file.
        what: the file's kind, with which the message begins.

    Raises:
        ValueError: the file is missing, or its checksum is not the expected one.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{what}: no such file: {path}; nothing is downloaded, pass a file on this machine")
    found = file_sha256(path)
    if expected and found != expected.lower():
        raise ValueError(f"{what}: {path} has sha256 {found}, expected {expected}")
    return found
