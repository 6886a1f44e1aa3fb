"""Read records by bucket and number through LitData's reader, with checks of our own.

Only LitData's random access is used. Its iteration order depends on the file system (NFS, or even a
path with "vast" in its name, switches the shuffle), its resume on the number of workers; see
batch_sampler.py.
"""

import warnings
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path
from typing import Any, cast

import torch
from litdata.streaming.item_loader import PyTreeLoader
from litdata.streaming.reader import BinaryReader
from litdata.streaming.sampler import ChunkedIndex

from src.core.hashing import file_sha256
from src.streaming.schema.bucket import Bucket, DataError
from src.streaming.schema.dataset_index import BucketInfo, DatasetInfo, read_info, read_json
from src.streaming.schema.records import ClipRecord, LatentRecord, Record, record_of

# Chunks are mapped read-only and batches are copies: trigger torch's warning about read-only buffers,
# which comes once a process, here and suppressed.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch.frombuffer(b"\0", dtype=torch.uint8)

OPEN_CHUNKS = 32  # memory maps kept for a bucket; above shuffle_chunks


class BucketReader:
    """Random access to one bucket. Picklable; files are opened on first use in each process."""

    def __init__(self, root: Path, info: BucketInfo, *, verify: bool) -> None:
        self.root, self.info, self._verify = root, info, verify
        self._starts = [0, *accumulate(c.records for c in info.chunks)]
        self._reader: BinaryReader | None = None
        self._verified: set[int] = set()

    def check_files(self) -> None:
        """Raise DataError, with the path, unless every chunk has its size and LitData's index can be read."""
        index = read_json(self.root / "index.json")
        names = [c["filename"] for c in index.get("chunks", [])] if isinstance(index, dict) else []
        if names != [c.filename for c in self.info.chunks]:
            raise DataError(f"{self.root / 'index.json'}: does not list the chunks that dataset.json lists")
        for chunk in self.info.chunks:
            path = self.root / chunk.filename
            if not path.is_file():
                raise DataError(f"{path}: chunk is missing; copy it again or re-run data.prepare")
            if path.stat().st_size != chunk.bytes:
                raise DataError(
                    f"{path}: corrupt chunk: {path.stat().st_size} bytes instead of {chunk.bytes}; "
                    "copy it again or re-run data.prepare"
                )

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: int) -> Record:
        """Return record `index`. Its tensors are views of the chunk: copy before keeping or changing them."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.root.name} has {len(self)} records, got index {index}")
        chunk = bisect_right(self._starts, index) - 1
        if self._reader is None:
            self._reader = self._open()
        if self._verify and chunk not in self._verified:
            self._check_content(chunk)
        try:
            return record_of(self._reader.read(ChunkedIndex(index=index, chunk_index=chunk)))
        except Exception as error:  # LitData does not validate: damaged data can raise anything
            path = self.root / self.info.chunks[chunk].filename
            raise DataError(f"{path}: cannot read record {index}: {' '.join(str(error).split())}") from error

    def _open(self) -> BinaryReader:
        self.check_files()
        reader = BinaryReader(str(self.root), item_loader=PyTreeLoader(batch_decode=0))
        reader._try_load_config()
        # maps of several chunks at once, read in place: a batch mixes records of neighboring chunks
        reader.enable_posix_fast(list(range(len(self.info.chunks))), keep=OPEN_CHUNKS, prefetch=False)
        return reader

    def _check_content(self, chunk: int) -> None:
        """Compare a chunk with its checksum, once in each process, before its first record is used."""
        info = self.info.chunks[chunk]
        if file_sha256(self.root / info.filename) != info.sha256:
            raise DataError(
                f"{self.root / info.filename}: corrupt chunk (checksum differs); "
                "copy it again or re-run data.prepare"
            )
        self._verified.add(chunk)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_reader": None, "_verified": set()}


class Dataset:
    """A complete data set on disk.

    Args:
        root: directory that holds dataset.json.
        verify: compare each chunk with its checksum before its first use.

    Raises:
        DataError: missing, incomplete or empty data set, a missing or truncated chunk.
    """

    def __init__(self, root: Path | str, *, verify: bool = True) -> None:
        self.root = Path(root)
        self.info: DatasetInfo = read_info(self.root)
        if self.info.records == 0:
            raise DataError(
                f"{self.root}: empty data set (0 records); see {self.root / 'rejected.jsonl'} for reasons"
            )
        self.readers = {
            name: BucketReader(self.root / name, info, verify=verify)
            for name, info in sorted(self.info.buckets.items())
        }
        for reader in self.readers.values():
            reader.check_files()

    @property
    def buckets(self) -> dict[Bucket, int]:
        """Number of records by bucket."""
        return {Bucket.parse(name): len(reader) for name, reader in self.readers.items()}

    def __len__(self) -> int:
        return self.info.records

    def pixels(self, bucket: str, index: int) -> ClipRecord:
        assert self.info.kind == "pixels"
        return cast(ClipRecord, self.readers[bucket][index])

    def latents(self, bucket: str, index: int) -> LatentRecord:
        assert self.info.kind in ("latents", "audio_latents")
        return cast(LatentRecord, self.readers[bucket][index])

    def parts(self, records: int) -> list[tuple[str, int, int]]:
        """Return slices (bucket, start, stop) of at most `records` each: units of encoding work."""
        return [
            (name, start, min(start + records, len(reader)))
            for name, reader in self.readers.items()
            for start in range(0, len(reader), records)
        ]
