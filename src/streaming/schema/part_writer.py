"""Write one part of a data set: LitData chunks in a directory that appears when it is complete."""

import os
import shutil
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from litdata.streaming.writer import BinaryWriter

from src.core.hashing import file_sha256
from src.streaming.schema.dataset_index import PARTS, read_json, write_json
from src.streaming.schema.records import LatentRecord, Record, item_of
from src.streaming.schema.statistics import ChannelStatistics


@dataclass(frozen=True)
class Rejection:
    """A rejected input: `reason` is short and countable, `detail` specific."""

    source: str
    reason: str
    detail: str = ""


class PartWriter:
    """The records of one part; opened by `DatasetWriter.part`."""

    def __init__(self, root: Path, chunk_bytes: int) -> None:
        self._root, self._chunk_bytes = root, chunk_bytes
        self._writers: dict[str, BinaryWriter] = {}
        self._counts: dict[str, int] = {}
        self.rejected: list[Rejection] = []
        self._num_uncaptioned = 0
        self._statistics: ChannelStatistics | None = None

    def add(self, record: Record) -> None:
        """Append a record to its bucket. DataError if LitData would not read it back unchanged."""
        name = record.bucket.name
        if name not in self._writers:
            (self._root / name).mkdir()
            self._writers[name] = BinaryWriter(str(self._root / name), chunk_bytes=self._chunk_bytes)
            self._counts[name] = 0
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="An item was larger than the target chunk size")
            self._writers[name].add_item(self._counts[name], item_of(record))
        self._counts[name] += 1
        self._num_uncaptioned += not record.captions
        if isinstance(record, LatentRecord):
            self._statistics = ChannelStatistics.of(record.moments_2CTHW).plus(self._statistics)

    def reject(self, rejection: Rejection) -> None:
        self.rejected.append(rejection)

    def close(self) -> dict[str, Any]:
        """Flush the chunks and return the contents of part.json."""
        buckets = {}
        for name, writer in self._writers.items():
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="An item was larger than the target chunk size")
                writer.done()
            (index_file,) = (self._root / name).glob("*.index.json")
            index = read_json(index_file)
            index_file.unlink()
            for chunk in index["chunks"]:
                chunk["sha256"] = file_sha256(self._root / name / chunk["filename"])
            buckets[name] = index
        statistics = None if self._statistics is None else asdict(self._statistics)
        return {
            "buckets": buckets,
            "rejected": [asdict(r) for r in self.rejected],
            "statistics": statistics,
            "num_uncaptioned": self._num_uncaptioned,
        }


@contextmanager
def write_part(root: Path, number: int, chunk_bytes: int) -> Iterator[PartWriter]:
    """Write part `number` of the data set at `root`; callable from any process of the same run."""
    final = root / PARTS / f"{number:06d}"
    # process ids of two nodes may be equal
    temporary = root / PARTS / f"tmp-{number:06d}-{socket.gethostname()}-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    writer = PartWriter(temporary, chunk_bytes)
    try:
        yield writer
        write_json(temporary / "part.json", writer.close())
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    try:
        os.replace(temporary, final)
    except OSError:
        if not final.is_dir():
            raise
        shutil.rmtree(temporary)  # a worker that outlived a killed run wrote the same part first
