"""WebDataset tars: samples of files that share a name up to its first dot, read in place by offset.

Nothing is unpacked under the names that an archive holds.
"""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from data.sources.listing import Listing, is_utf8, printable, rejected_input, skipped_input, stamp_of
from data.work_units import Input
from src.core.media_io.formats import IMAGE_TYPES, VIDEO_TYPES, is_hidden_folder

CAPTION_ENDINGS = {"txt": "caption_txt", "caption": "caption_txt", "json": "caption_json"}


def list_tars(paths: list[Path], root: Path) -> Listing:
    """Return the media of every sample, archive by archive; `root` is the folder that holds the archives."""
    items: list[Input] = []
    for path in paths:
        items += _list_tar(path, path.relative_to(root).as_posix())
    return Listing(items)


def _list_tar(path: Path, file_name: str) -> Iterator[Input]:
    """Yield the inputs of one archive; a damaged one gives those before the damage, and a rejection."""
    name, status = printable(file_name), os.stat(path)
    samples: dict[str, dict[str, tarfile.TarInfo]] = {}
    try:
        with tarfile.open(path, "r:") as archive:  # no compression: members are read by their offset
            for member in archive:
                if member.isdir():
                    continue
                if not member.isfile():
                    yield skipped_input(
                        f"{name}/{printable(member.name)}", "not a file", "link or device in a tar"
                    )
                    continue
                if member.offset_data + member.size > status.st_size:
                    raise tarfile.ReadError(f"{printable(member.name)} is cut off")
                folder, _, file = member.name.rpartition("/")
                stem, _, ending = file.partition(".")
                if not stem or any(is_hidden_folder(part) for part in folder.split("/")):
                    yield skipped_input(f"{name}/{printable(member.name)}", "hidden file")
                elif ending.lower() in samples.setdefault(f"{folder}/{stem}", {}):
                    yield rejected_input(f"{name}/{printable(member.name)}", "name is repeated", "in one tar")
                else:
                    samples[f"{folder}/{stem}"][ending.lower()] = member
    except (tarfile.TarError, EOFError, OSError) as error:
        hint = "; a compressed tar must be unpacked" if path.suffix != ".tar" else ""
        yield rejected_input(name, "damaged tar", f"{error}{hint}")
    for sample in samples.values():
        yield from _sample_inputs(file_name, status, sample)


def _sample_inputs(
    file_name: str, status: os.stat_result, sample: dict[str, tarfile.TarInfo]
) -> Iterator[Input]:
    """Yield an input for each media file of a sample, with the positions of its captions in the archive."""
    name = printable(file_name)
    sides = {
        CAPTION_ENDINGS[ending]: [member.offset_data, member.size]
        for ending, member in sample.items()
        if ending in CAPTION_ENDINGS
    }
    media = [member for ending, member in sample.items() if ending not in CAPTION_ENDINGS]
    if not media:
        member = next(iter(sample.values()))
        yield skipped_input(f"{name}/{printable(member.name)}", "caption without media")
    for member in media:
        path_name = f"{name}/{printable(member.name)}"
        kind = os.path.splitext(member.name)[1].lower()
        if not is_utf8(member.name):
            yield rejected_input(path_name, "name is not UTF-8", "bytes that are not UTF-8 are shown escaped")
            continue
        item: Input = {"path": path_name, "tar": file_name, "offset": member.offset_data, "size": member.size}
        item |= {**stamp_of(status), **sides}
        if kind not in VIDEO_TYPES | IMAGE_TYPES:
            item |= {"reason": "unknown type", "detail": kind or "no suffix"}
        yield item


def read_range(path: Path, offset: int, size: int) -> bytes:
    """Return bytes of a file; OSError if it ends before."""
    with open(path, "rb") as file:
        file.seek(offset)
        data = file.read(size)
    if len(data) != size:
        raise OSError(f"{path.name} ends within bytes {offset} to {offset + size}")
    return data
