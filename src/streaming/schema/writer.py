"""Write LitData chunks in parts, by any number of processes, resumable after a kill.

A part is a fixed slice of the inputs. It is written into a temporary directory that is renamed when
it is complete; parts depend neither on each other nor on the number of processes. `finish` gathers
them in order, and dataset.json comes last.
"""

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from src.core.atomic import atomic_write
from src.streaming.schema.bucket import Bucket, DataError, Kind
from src.streaming.schema.chunk_table import TABLE, chunk_name, table_bytes
from src.streaming.schema.dataset_index import (
    FILENAME,
    MAX_CHUNKS,
    PARTS,
    BucketInfo,
    ChunkInfo,
    DatasetInfo,
    ShardInfo,
    read_info,
    read_json,
    write_json,
)
from src.streaming.schema.part_writer import write_part
from src.streaming.schema.statistics import ChannelStatistics


class DatasetWriter:
    """A data set being written. Use as a context manager: it holds the directory's lock.

    Args:
        root: the data set's directory.
        kind: "pixels", "latents", "audio" or "audio_latents".
        key: hash of settings and inputs. Unfinished work under another key is discarded; a finished
            data set under another key is an error unless `overwrite` is set or it has no records.
        chunk_bytes: a chunk is closed when the next record would pass this.
        max_chunks: of a directory; buckets of more are divided into several.
        leader: with several ranks, one locks, starts and finishes; the others only write parts, after
            a barrier after the leader's start.
    """

    def __init__(
        self,
        root: Path | str,
        kind: Kind,
        key: str,
        *,
        chunk_bytes: int = 64 << 20,
        overwrite: bool = False,
        leader: bool = True,
        max_chunks: int = MAX_CHUNKS,
    ) -> None:
        self.max_chunks = max_chunks
        self.root, self.kind, self.key = Path(root), kind, key
        self.chunk_bytes, self.overwrite, self.leader = chunk_bytes, overwrite, leader
        self.complete = False
        self._parts = self.root / PARTS
        self._lock = FileLock(str(self.root.parent / f".{self.root.name}.lock"))

    def __enter__(self) -> "DatasetWriter":
        if not self.leader:
            self.complete = (self.root / FILENAME).exists()
            return self
        self.root.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise DataError(f"{self.root}: in use by another process that is writing it") from None
        try:
            self._begin()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        """Release the lock; report a full disk in one line (finished parts are kept)."""
        self._lock.release(force=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(
                f"disk full while writing {self.root}; make room and re-run the same command to resume"
            ) from error

    def _begin(self) -> None:
        if (self.root / FILENAME).exists():
            found = None if self.overwrite else read_info(self.root)
            if found and (found.key, found.kind) == (self.key, self.kind):
                self.complete = True
                shutil.rmtree(self._parts, ignore_errors=True)
                return
            if found and found.records:
                raise DataError(
                    f"{self.root}: holds another data set (key {found.key}, expected {self.key}); "
                    "use another directory, or overwrite=true to replace it"
                )
            self._restart()
        elif self._plan.exists():
            plan = read_json(self._plan)
            if plan["key"] != self.key or plan["clearing"]:
                self._restart()
        elif self.root.is_dir() and any(self.root.iterdir()):
            raise DataError(f"{self.root}: not empty and not a data set; use another directory")
        else:
            self._write_plan(clearing=False)
        for stale in self._parts.glob("tmp-*"):
            shutil.rmtree(stale, ignore_errors=True)

    @property
    def _plan(self) -> Path:
        return self._parts / "plan.json"

    def _write_plan(self, *, clearing: bool) -> None:
        self._parts.mkdir(parents=True, exist_ok=True)
        write_json(self._plan, {"key": self.key, "clearing": clearing})

    def _restart(self) -> None:
        """Remove what a writer wrote, and nothing else. If killed in the middle, it is repeated."""
        self._write_plan(clearing=True)
        (self.root / FILENAME).unlink(
            missing_ok=True
        )  # first, so that a partial data set is never taken for a complete one
        (self.root / "rejected.jsonl").unlink(missing_ok=True)
        for path in [*self.root.iterdir(), *self._parts.iterdir()]:
            if (
                path.is_dir()
                and path != self._parts
                and (path.parent == self._parts or Bucket.matches(path.name))
            ):
                shutil.rmtree(path)
        self._write_plan(clearing=False)

    def missing(self, num_parts: int) -> list[int]:
        """Return the numbers of the parts that are not written yet."""
        return [] if self.complete else [n for n in range(num_parts) if not self._part_dir(n).is_dir()]

    def part(self, number: int) -> Any:
        """Return a context manager of a PartWriter; the part exists only if the block ends without error."""
        return write_part(self.root, number, self.chunk_bytes)

    def _part_dir(self, number: int) -> Path:
        return self._parts / f"{number:06d}"

    def finish(self, num_parts: int, provenance: dict[str, Any] | None = None) -> DatasetInfo:
        """Gather all parts in order and publish dataset.json. Safe to repeat after an interruption."""
        if self.complete:
            return read_info(self.root)
        assert not self.missing(num_parts), "finish before every part was written"
        parts = [read_json(self._part_dir(n) / "part.json") for n in range(num_parts)]
        buckets = {}
        for name in sorted({b for p in parts for b in p["buckets"]}):
            buckets[name] = self._gather(name, parts)
        statistics = ChannelStatistics.total_of([p["statistics"] for p in parts])
        rejected = [r for p in parts for r in p["rejected"]]
        lines = "".join(json.dumps(r, ensure_ascii=False, sort_keys=True) + "\n" for r in rejected)
        (self.root / "rejected.jsonl").write_text(lines, encoding="utf-8")
        info = DatasetInfo(
            kind=self.kind,
            key=self.key,
            buckets=buckets,
            provenance=provenance or {},
            statistics=None if statistics is None else statistics.summary(),
            num_uncaptioned=sum(p["num_uncaptioned"] for p in parts),
        )
        info.write(self.root)
        shutil.rmtree(self._parts, ignore_errors=True)  # remains are removed when next opened
        self.complete = True
        return info

    def _gather(self, name: str, parts: list[dict[str, Any]]) -> BucketInfo:
        """Move one bucket's chunks into its directories and write LitData's index there."""
        found = [
            (chunk, self._part_dir(number) / name / chunk["filename"], f"chunk-{number}-{k}.bin")
            for number, part in enumerate(parts)
            for k, chunk in enumerate(part["buckets"].get(name, {}).get("chunks", ()))
        ]
        config = next(p["buckets"][name]["config"] for p in parts if name in p["buckets"])
        num_shards = -(-len(found) // self.max_chunks)
        if num_shards == 1:
            return BucketInfo(_move(found, self.root / name, config))
        shards = []
        for n in range(num_shards):
            # Dealt in turn: each directory is a sample of all inputs, since an epoch goes through them one
            # by one.
            rows = [(row[0], row[1], chunk_name(i)) for i, row in enumerate(found[n::num_shards])]
            folder = self.root / name / f"{n:05d}"
            chunks = _move(rows, folder, config)
            table = table_bytes(chunks)
            with atomic_write(folder / TABLE, sync=True) as temporary:
                temporary.write_bytes(table)
            records, size = sum(c.records for c in chunks), sum(c.bytes for c in chunks)
            digest = hashlib.sha256(table).hexdigest()
            shards.append(ShardInfo(folder.name, len(chunks), records, size, digest))
        return BucketInfo(shards=tuple(shards))


def _move(rows: list[tuple[dict[str, Any], Path, str]], target: Path, config: Any) -> tuple[ChunkInfo, ...]:
    """Move chunks (LitData's entry, path, new name) into a directory and write LitData's index there."""
    target.mkdir(parents=True, exist_ok=True)
    entries, infos = [], []
    for chunk, path, filename in rows:
        if path.exists():
            os.replace(path, target / filename)
        infos.append(ChunkInfo(filename, chunk["chunk_size"], chunk["chunk_bytes"], chunk["sha256"]))
        entries.append({k: v for k, v in chunk.items() if k != "sha256"} | {"filename": filename})
    # LitData puts the time here; a constant keeps the bytes equal however often it is made
    write_json(target / "index.json", {"chunks": entries, "config": config, "updated_at": "0"})
    return tuple(infos)


class PixelWriter(DatasetWriter):
    """A DatasetWriter of PixelRecord."""

    def __init__(self, root: Path | str, key: str, **options: Any) -> None:
        super().__init__(root, "pixels", key, **options)


class LatentWriter(DatasetWriter):
    """A DatasetWriter of LatentRecord, of video or (kind "audio_latents") of audio; `key` from `latent_key`.

    with LatentWriter(out, key) as writer:
        for number in writer.missing(len(parts)):  # parts = Dataset.parts(n); each rank takes every world-th
            with writer.part(number) as part:
                part.add(LatentRecord(...))
        writer.finish(len(parts), provenance)  # the leader, when every rank is done
    """

    def __init__(self, root: Path | str, key: str, *, kind: Kind = "latents", **options: Any) -> None:
        super().__init__(root, kind, key, **options)
