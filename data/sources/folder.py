"""Media files of a folder: hidden ones are skipped, links are followed once, captions are next to files.

The walk asks the system once for each file, so that 100,000 files take seconds, and needs no recursion.
"""

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from data.sources.listing import Listing, is_utf8, printable, rejected_input, skipped_input, stamp_of
from data.work_units import Input
from src.core.media_io.errors import MediaError
from src.core.media_io.formats import IMAGE_TYPES, VIDEO_TYPES, is_hidden_folder
from src.core.media_io.paths import follow_link

CAPTION_TYPES = (".txt", ".json")
SIDE_FILES = {*CAPTION_TYPES, ".csv", ".tsv", ".jsonl", ".md", ".srt", ".vtt", ".yaml"}
THUMBNAIL_FILES = {"thumbs.db", "desktop.ini"}


@dataclass
class _Found:
    """Findings of a walk: files by path relative to the root, links to follow, and entries passed over."""

    files: dict[str, os.stat_result] = field(default_factory=dict)
    links: deque[tuple[str, str]] = field(default_factory=deque)  # (absolute, relative)
    others: list[Input] = field(default_factory=list)
    known: set[tuple[int, int]] = field(default_factory=set)  # (device, inode) of folders and of files


def list_folder(root: Path) -> Listing:
    """Return every file below a folder by name, with the captions next to it (NAME.txt, NAME.json)."""
    found = _Found()
    _walk(str(root), "", found)
    while found.links:
        _follow(*found.links.popleft(), found)
    items = list(_media_inputs(found.files)) + found.others
    return Listing(sorted(items, key=lambda item: item["path"].split("/")))


def _walk(top: str, prefix: str, found: _Found) -> None:
    """Record what lies below a folder, without following links."""
    folders = [(top, prefix)]
    while folders:
        folder, prefix = folders.pop()
        try:
            status = os.stat(folder)
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            found.others.append(rejected_input(printable(prefix) or ".", "unreadable folder", error.strerror))
            continue
        if (status.st_dev, status.st_ino) in found.known:
            found.others.append(skipped_input(printable(prefix), "folder listed already"))
            continue
        found.known.add((status.st_dev, status.st_ino))
        for entry in entries:
            path = prefix + entry.name
            if _is_hidden(entry):
                found.others.append(_hidden_input(entry, path))
            elif entry.is_symlink():
                found.links.append((entry.path, path))
            elif entry.is_dir(follow_symlinks=False):
                folders.append((entry.path, path + "/"))
            elif entry.is_file(follow_symlinks=False):
                _add_file(path, entry.stat(follow_symlinks=False), found)
            else:
                found.others.append(skipped_input(printable(path), "not a file", "pipe, socket or device"))


def _follow(absolute: str, path: str, found: _Found) -> None:
    """Record what a link leads to, unless the walk was there before."""
    try:
        follow_link(absolute)
        status = os.stat(absolute)
    except MediaError as error:
        found.others.append(rejected_input(printable(path), error.reason, printable(error.detail)))
        return
    except OSError as error:
        reason = "dangling link" if isinstance(error, FileNotFoundError) else "bad link"
        found.others.append(rejected_input(printable(path), reason, f"{error.strerror}: {_target(absolute)}"))
        return
    if (status.st_dev, status.st_ino) in found.known:
        detail = f"links to {_target(absolute)}"
        found.others.append(skipped_input(printable(path), "link to what is listed already", detail))
    elif os.path.isdir(absolute):
        inner = _Found(known=found.known)
        _walk(absolute, path + "/", inner)
        found.files |= inner.files
        found.others += inner.others
        for _, link in inner.links:
            found.others.append(rejected_input(printable(link), "link to a link", f"in {_target(absolute)}"))
    else:
        _add_file(path, status, found)


def _target(link: str) -> str:
    return printable(os.readlink(link))


def _add_file(path: str, status: os.stat_result, found: _Found) -> None:
    if not is_utf8(path):
        detail = "rename the file; bytes that are not UTF-8 are shown escaped"
        found.others.append(rejected_input(printable(path), "name is not UTF-8", detail))
        return
    found.known.add((status.st_dev, status.st_ino))
    found.files[path] = status


def _is_hidden(entry: "os.DirEntry[str]") -> bool:
    if entry.name.startswith(".") or entry.name.lower() in THUMBNAIL_FILES:
        return True
    return is_hidden_folder(entry.name) and entry.is_dir()


def _hidden_input(entry: "os.DirEntry[str]", path: str) -> Input:
    if not entry.is_dir(follow_symlinks=False):
        return skipped_input(printable(path), "hidden file")
    count = sum(len(files) for _, _, files in os.walk(entry.path))
    return skipped_input(printable(path), "hidden or thumbnail folder", f"{count} files")


def _media_inputs(files: dict[str, os.stat_result]) -> Iterator[Input]:
    """Yield an input for each file; side files only where they are no caption of a file."""
    captioned = set()
    sides = {path for path in files if Path(path).suffix.lower() in SIDE_FILES}
    for path, status in files.items():
        if path in sides:
            continue
        item: Input = {"path": path, **stamp_of(status)}
        kind = os.path.splitext(path)[1].lower()
        if kind not in VIDEO_TYPES | IMAGE_TYPES:
            item |= {"reason": "unknown type", "detail": kind or "no suffix"}
        for suffix in CAPTION_TYPES:
            side = os.path.splitext(path)[0] + suffix
            if side in sides:
                item[f"caption{suffix.replace('.', '_')}"] = stamp_of(files[side])
                captioned.add(side)
        yield item
    for path in sides - captioned:
        kind = os.path.splitext(path)[1].lower()
        reason = "caption without media" if kind in CAPTION_TYPES else "side file"
        yield skipped_input(path, reason)
