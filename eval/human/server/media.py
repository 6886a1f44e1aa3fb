"""Media of one rater's tasks, by position in the slot; nothing else can be addressed.

No header differs by system.

A file's name, modification time and an ETag of its contents could each tell systems apart over many items;
the path holds positions only, and both sides of an item have one size.
"""

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from starlette.responses import FileResponse

TYPES = {".mp4": "video/mp4", ".webm": "video/webm", ".m4a": "audio/mp4", ".png": "image/png"}
SMALL_BYTES = 256 * 1024  # a file that is read at once


class BlindedFileResponse(FileResponse):
    """A file with range requests whose headers depend on the URL and the size only.

    Build it in a worker thread: it asks for the size and reads a small file there, because every later read
    is handed to another thread, which costs more than the reading.
    """

    chunk_size = 1024 * 1024

    def __init__(self, path: Path, tag: str) -> None:
        self.tag = tag
        found = path.stat()
        self.content = path.read_bytes() if found.st_size <= SMALL_BYTES else None
        media_type = TYPES.get(path.suffix, "application/octet-stream")
        super().__init__(path, media_type=media_type, stat_result=found)

    def set_stat_headers(self, stat_result: os.stat_result) -> None:
        self.headers["content-length"] = str(stat_result.st_size)
        self.headers["etag"] = f'"{self.tag}"'

    def _should_use_range(self, http_if_range: str) -> bool:
        return http_if_range == self.headers["etag"]

    @asynccontextmanager
    async def _open_file(self) -> AsyncIterator[Any]:
        if self.content is None:
            async with super()._open_file() as file:
                yield file
        else:
            yield _ReadFile(self.content)


class _ReadFile:
    """Contents of a file with the methods of one that is read asynchronously."""

    def __init__(self, content: bytes) -> None:
        self.content = BytesIO(content)

    async def seek(self, position: int) -> int:
        return self.content.seek(position)

    async def read(self, size: int) -> bytes:
        return self.content.read(size)


def url_tag(rater: str, path: str) -> str:
    """Return an ETag that is a function of who requests which URL."""
    return hashlib.sha256(f"{rater} {path}".encode()).hexdigest()[:16]
