"""Downloaded chunks on a local disk, bounded, used by all processes of a machine.

A chunk appears under its final name when it is complete and checked. Processes lock each chunk while they
download it, so it is downloaded once. Room is made by removing the chunks that were used or planned longest
ago; a process that has one open keeps reading it.
"""

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

from filelock import FileLock

from src.streaming.config import StorageConfig
from src.streaming.schema.bucket import DataError

NUM_LOCKS = 1024  # files; chunks whose names hash to the same one wait for each other
INCOMING = "incoming-"


def default_directory() -> Path:
    """Return where chunks are kept if the config names no directory."""
    return Path(tempfile.gettempdir()) / f"moviegen-chunks-{os.getuid()}"


class ChunkCache:
    """A directory of chunks of at most `cache_gb`."""

    def __init__(self, config: StorageConfig) -> None:
        self.root = Path(config.cache_dir) if config.cache_dir else default_directory()
        self.capacity = int(config.cache_gb * 1e9)

    def get(self, name: str, size: int, fetch: Callable[[Path], None]) -> Path:
        """Return the path of a chunk, downloaded if it is not here.

        Args:
            name: relative path, unique to the data set's content.
            size: in bytes.
            fetch: downloads and checks the chunk.

        Raises:
            DataError: a chunk larger than the cache, or the error of `fetch`.
        """
        path = self.root / name
        if touch(path):
            return path
        with self._lock(f"{crc32(name.encode()) % NUM_LOCKS:04d}"):
            if touch(path):  # another process was first
                return path
            with self._incoming(path, size) as temporary:
                fetch(temporary)
                path.parent.mkdir(parents=True, exist_ok=True)
                os.replace(temporary, path)
        return path

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield a temporary directory on the cache's disk."""
        self.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".scratch-", dir=self.root) as folder:
            yield Path(folder)

    def _lock(self, name: str) -> FileLock:
        folder = self.root / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / name)

    @contextmanager
    def _incoming(self, path: Path, size: int) -> Iterator[Path]:
        """Yield a path to download to, after room was made for it."""
        if size > self.capacity:
            raise DataError(
                f"data.storage.cache_gb={self.capacity / 1e9:g} does not hold chunk {path.name} of "
                f"{size / 1e9:.3g} GB; use more"
            )
        with self._lock("room"):
            self._make_room(size)
            folder = tempfile.mkdtemp(
                prefix=f"{INCOMING}{socket.gethostname()}-{os.getpid()}-", dir=self.root
            )
            reserved = Path(folder) / "reserved"
            reserved.touch()
            os.truncate(reserved, size)  # sparse: counted before the bytes arrive
        try:
            yield Path(folder) / path.name
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _make_room(self, size: int) -> None:
        """Remove the chunks used longest ago until `size` more bytes fit."""
        found: list[tuple[float, int, str]] = []
        for entry in os.scandir(self.root):
            if entry.name.startswith(INCOMING):
                size += 0 if _is_abandoned(entry) else _reserved(entry.path)
            elif entry.is_dir() and not entry.name.startswith("."):
                found += _chunks(entry.path)
        total = sum(bytes for _, bytes, _ in found)
        for _, bytes, path in sorted(found):
            if total + size <= self.capacity:
                return
            Path(path).unlink(missing_ok=True)
            total -= bytes

    def bytes_held(self) -> int:
        """Return the bytes of all chunks in the cache."""
        folders = [
            e.path for e in os.scandir(self.root) if e.is_dir() and not e.name.startswith((".", INCOMING))
        ]
        return sum(bytes for folder in folders for _, bytes, _ in _chunks(folder))


def touch(path: Path) -> bool:
    """Note that a chunk is needed now; return whether it is here."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _chunks(folder: str) -> list[tuple[float, int, str]]:
    """Return (time of last use, bytes, path) of the chunks below a folder."""
    out: list[tuple[float, int, str]] = []
    for directory, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".bin"):
                try:
                    status = os.stat(os.path.join(directory, name))
                except FileNotFoundError:  # removed by hand meanwhile
                    continue
                out.append((status.st_mtime, status.st_size, os.path.join(directory, name)))
    return out


def _is_abandoned(entry: "os.DirEntry[str]") -> bool:
    """Remove the download of a process of this machine that has ended; return whether it was one."""
    host, pid, _ = entry.name.removeprefix(INCOMING).rsplit("-", 2)
    if host != socket.gethostname() or Path(f"/proc/{pid}").exists():
        return False
    shutil.rmtree(entry.path, ignore_errors=True)
    return True


def _reserved(folder: str) -> int:
    try:
        return os.stat(os.path.join(folder, "reserved")).st_size
    except FileNotFoundError:  # finished meanwhile
        return 0
