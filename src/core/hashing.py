"""Hashes of files' contents."""

import hashlib
from collections.abc import Iterable
from pathlib import Path


def file_sha256(path: Path | str) -> str:
    """Return the sha256 of a file's bytes in hex; the file is read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def add_files(digest: "hashlib._Hash", paths: Iterable[Path]) -> None:
    """Add the names and contents of files to a hash, in the order of their paths."""
    for path in sorted(paths):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
