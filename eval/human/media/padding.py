"""Files of one byte size: bytes that players skip are added to MP4 and PNG files."""

import os
import struct
import zlib
from pathlib import Path

from eval.human.schema import Item
from src.core.rng import numpy_generator

BLOCK = 4096
OVERHEAD = {".mp4": 8, ".png": 12}
PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


def padded_size(sizes: list[int], suffix: str) -> int:
    """Return the common size of files: the largest and the padding's header, in multiples of 4 KiB."""
    largest = max(sizes) + OVERHEAD.get(suffix, 0)
    return -(-largest // BLOCK) * BLOCK if suffix in OVERHEAD else largest


def pad_file(path: Path, size: int, *, seed: int) -> None:
    """Lengthen a file to `size` bytes: a `free` box (MP4) or a private ancillary chunk (PNG) of random bytes.

    Raises:
        ValueError: the file is too large, or its format cannot be padded and its size differs.
    """
    missing = size - path.stat().st_size
    overhead = OVERHEAD.get(path.suffix)
    if overhead is None:
        if missing:
            raise ValueError(
                f"{path.name}: {path.suffix} files cannot be padded, and sizes differ by {missing}"
            )
        return
    if missing < overhead:
        raise ValueError(f"{path.name}: no room for padding: {missing} bytes")
    filler = numpy_generator(seed, f"human/padding/{path.name}").bytes(missing - overhead)
    if path.suffix == ".mp4":
        with path.open("ab") as file:
            file.write(struct.pack(">I4s", missing, b"free") + filler)
        return
    with path.open("rb+") as file:
        file.seek(-len(PNG_END), os.SEEK_END)
        if file.read() != PNG_END:
            raise ValueError(f"{path.name}: not a complete PNG file")
        file.seek(-len(PNG_END), os.SEEK_END)
        body = b"paDd" + filler
        file.write(struct.pack(">I", len(filler)) + body + struct.pack(">I", zlib.crc32(body)) + PNG_END)


def connected_files(items: list[Item], new: set[str]) -> list[list[str]]:
    """Return the groups of files that are linked by items, those that contain a new file."""
    parent: dict[str, str] = {}

    def find(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for item in items:
        for name in item.stimuli:
            parent[find(name)] = find(item.stimuli[0])
    groups: dict[str, list[str]] = {}
    for name in sorted(parent):
        groups.setdefault(find(name), []).append(name)
    return [group for group in groups.values() if new & set(group)]
