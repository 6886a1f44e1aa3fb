"""dataset.json: the index that makes a directory a data set."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from src.core.atomic import atomic_write
from src.streaming.schema.bucket import SCHEMA_VERSION, Bucket, DataError, Kind

FILENAME = "dataset.json"
PARTS = ".parts"
MAX_CHUNKS = 10_000  # of a LitData directory: its index is parsed as a unit
HINTS: dict[Kind | None, str] = {
    "pixels": "make it with: python -m data.prepare CONFIG",
    "latents": "encode it with: python -m src.train configs/tae/tiny_latents.yaml tae=RUN data=DATASET",
    "audio_latents": "encode it with: python -m src.train configs/audio/tiny_latents.yaml codec=RUN data=SET",
    "audio": "make it with: python -m data.prepare configs/data/audio_tiny.yaml",
    None: "make it with: python -m data.prepare CONFIG, or latents with: python -m src.train CONFIG",
}


@dataclass(frozen=True)
class ChunkInfo:
    """One chunk file of a bucket."""

    filename: str
    records: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ShardInfo:
    """One LitData directory of a bucket; `sha256` is of the table of its chunks (`chunk_table.py`)."""

    name: str
    chunks: int
    records: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class BucketInfo:
    """One bucket's chunks, in the order of record numbers; above MAX_CHUNKS its directories instead."""

    chunks: tuple[ChunkInfo, ...] = ()
    shards: tuple[ShardInfo, ...] = ()

    @property
    def records(self) -> int:
        return sum(c.records for c in self._rows)

    @property
    def bytes(self) -> int:
        return sum(c.bytes for c in self._rows)

    @property
    def _rows(self) -> list[ChunkInfo | ShardInfo]:
        return [*self.chunks, *self.shards]

    @property
    def hashes(self) -> list[str]:
        """Checksums of the chunks, or of the directories' tables."""
        return [row.sha256 for row in self._rows]

    def plain(self) -> dict[str, Any]:
        """Return the fields as dataset.json has them."""
        return {name: rows for name, rows in asdict(self).items() if rows}


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """Contents of dataset.json. `key` hashes the settings and inputs; `content` the records.

    `num_uncaptioned` counts records without a caption, from which a model learns no text.
    """

    kind: Kind
    key: str
    buckets: dict[str, BucketInfo]
    provenance: dict[str, Any] = field(default_factory=dict)
    statistics: dict[str, list[float]] | None = None  # latents: {"mean": [C], "std": [C]}
    num_uncaptioned: int = 0
    schema: int = SCHEMA_VERSION

    @property
    def records(self) -> int:
        return sum(b.records for b in self.buckets.values())

    @property
    def content(self) -> str:
        """Hash of every chunk of every bucket, in order."""
        rows = [[name, *self.buckets[name].hashes] for name in sorted(self.buckets)]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    def write(self, root: Path) -> None:
        fields = asdict(self) | {"buckets": {name: info.plain() for name, info in self.buckets.items()}}
        if not self.num_uncaptioned:
            del fields["num_uncaptioned"]
        write_json(root / FILENAME, fields | {"records": self.records, "content": self.content})


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically and synced to the disk."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1)
    with atomic_write(path, sync=True) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read JSON; DataError with the path if it is missing, truncated or not UTF-8."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: missing") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: truncated or not JSON ({error})") from error


def read_info(root: Path | str, kind: Kind | None = None) -> DatasetInfo:
    """Read DIR/dataset.json.

    Args:
        kind: expected kind, for the hint of the message.

    Raises:
        DataError: missing, interrupted preparation, a broken file, or another schema version.
    """
    root = Path(root)
    if not (root / FILENAME).is_file():
        if (root / PARTS).is_dir():
            raise DataError(f"{root}: preparation was interrupted; re-run the same command to resume")
        if root.name == "val" and (root.parent / "train" / FILENAME).is_file():
            raise DataError(
                f"{root}: {root.parent} was prepared without a validation split; prepare it with "
                "files.val_fraction above 0 (source=files), or train without data.val"
            )
        inside = sorted(p.parent.name for p in root.glob(f"*/{FILENAME}"))
        hint = f"; did you mean {root / inside[0]}?" if inside else f"; {HINTS[kind]}"
        raise DataError(f"{root}: no data set here ({FILENAME} is missing){hint}")
    return parse_info(read_json(root / FILENAME), root / FILENAME)


def parse_info(raw: Any, where: Path | str) -> DatasetInfo:
    """Return the contents of a dataset.json.

    Raises:
        DataError: it is not one, or of another schema version.
    """
    try:
        if raw["schema"] != SCHEMA_VERSION:
            raise DataError(
                f"{where}: written with schema {raw['schema']}, this code reads {SCHEMA_VERSION}; "
                "re-run data.prepare"
            )
        buckets = {
            b: BucketInfo(
                tuple(ChunkInfo(**c) for c in v.get("chunks", ())),
                tuple(ShardInfo(**s) for s in v.get("shards", ())),
            )
            for b, v in raw["buckets"].items()
        }
        for name in buckets:
            Bucket.parse(name)
        return DatasetInfo(
            kind=raw["kind"],
            key=raw["key"],
            buckets=buckets,
            provenance=raw["provenance"],
            statistics=raw.get("statistics"),
            num_uncaptioned=raw.get("num_uncaptioned", 0),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{where}: not a data set's index ({error!r})") from error
