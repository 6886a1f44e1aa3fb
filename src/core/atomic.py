"""Write files so that a reader sees the complete new file or the old one, never a part."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path | str, *, sync: bool = False) -> Iterator[Path]:
    """Yield a temporary path next to `path`; it replaces `path` when the block ends without an error.

    After an error the temporary file is removed and an existing file at `path` is untouched. Its name
    is hidden and ends in `.tmp`, so pass the format to a library that infers it from the suffix.
    Permissions follow the umask, also where a library creates private files.

    Args:
        sync: flush the file and its directory entry to the disk, so that they survive a power cut.

    Raises:
        OSError: the directory or the file cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # the process id keeps two writers of the same path apart
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # by the umask; safetensors would leave 0600
        yield temporary
        temporary.chmod(mode)
        if sync:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
        if sync:
            sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    """Flush a directory, so that a rename in it survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
