"""Paths that a list or manifest names stay inside its folder; links the user placed are followed once."""

import os
from pathlib import Path

from src.core.media_io.errors import MediaError

OUTSIDE = "outside the folder"


def check_relative(relative: str) -> str:
    """Return a path that stays in its folder, without `.` and `..`; does not touch the disk.

    Raises:
        MediaError: "outside the folder" for a path that is empty, absolute, or leaves the folder.
    """
    if not relative:
        raise MediaError(OUTSIDE, "the path is empty")
    if os.path.isabs(relative):
        raise MediaError(OUTSIDE, f"must be relative to the folder, got {relative!r}")
    if "\0" in relative:
        raise MediaError(OUTSIDE, "the path contains a NUL byte")
    plain = os.path.normpath(relative)
    if plain.split(os.sep, 1)[0] == os.pardir:
        raise MediaError(OUTSIDE, f"{relative!r} leaves the folder")
    return plain


def follow_link(link: Path | str) -> Path:
    """Return what a link leads to, which may lie anywhere.

    Raises:
        MediaError: "link to a link".
    """
    target = os.path.normpath(os.path.join(os.path.dirname(link), os.readlink(link)))
    if os.path.islink(target):
        raise MediaError("link to a link", f"links are followed once, to {target}")
    return Path(target)


def resolve_inside(root: Path | str, relative: str) -> Path:
    """Return the file that a list or manifest in folder `root` names.

    Raises:
        MediaError: as `check_relative`; "link to a link", also for a link in a folder that a link leads to;
            "missing file".
    """
    path, num_links = Path(root), 0
    for part in Path(check_relative(relative)).parts:
        path = path / part
        if path.is_symlink():
            num_links += 1
            if num_links > 1:
                raise MediaError("link to a link", f"links are followed once: {relative!r}")
            path = follow_link(path)
    if not path.is_file():
        raise MediaError("missing file", f"no such file: {relative!r}")
    return path
