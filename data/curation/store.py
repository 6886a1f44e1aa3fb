"""Scores of all clips as parquet files: one per unit of work, added atomically, found by the clip's key.

A key is a hash of the file (path, size, time of change), the interval and the scoring settings: rows of other
files or settings stay in the folder but are not read.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.curation.config import ScoringConfig
from data.curation.score_table import GROUPS, HEADER
from data.curation.scorer import Clip
from src.core.atomic import atomic_write

SCORING_VERSION = 3  # raise when the same clip would get other scores
COUNTS = {"width", "height", "short_side", "num_cuts", "num_frames"}
NETWORKS = ("copy_detection", "clip_l14", "aesthetic_head", "detector")  # settings that are paths
ARRAYS = ("hashes", "embedding", "clip_embedding")
_EMBEDDING = pa.list_(pa.float32())
SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("id", pa.string()),
        ("path", pa.string()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("error", pa.string()),
        ("detail", pa.string()),
        ("decoded", pa.bool_()),
        ("has_audio", pa.bool_()),
        ("num_frames", pa.int64()),
        *((name, pa.int64() if name in COUNTS else pa.float64()) for name in HEADER),
        *(
            (name, pa.int64() if name in COUNTS else pa.float64())
            for group in GROUPS.values()
            for name in group
        ),
        ("hashes", pa.list_(pa.uint64())),
        ("embedding", _EMBEDDING),
        ("clip_embedding", _EMBEDDING),
        ("preview", pa.binary()),
    ]
)


def settings_key(config: ScoringConfig) -> str:
    """Return a hash of everything besides the clip that scores depend on; networks enter by size and time."""
    settings = dataclasses.asdict(config)
    stamps = []
    for name in NETWORKS:
        path = Path(settings[name]) if settings[name] else None
        files = sorted(path.rglob("*")) if path and path.is_dir() else [path] if path else []
        stamps += [
            (each.name, each.stat().st_size, each.stat().st_mtime_ns) for each in files if each.is_file()
        ]
    return hashlib.sha256(json.dumps([SCORING_VERSION, settings, stamps]).encode()).hexdigest()


def clip_key(root: Path, clip: Clip, settings: str) -> str:
    """Return the key of a clip's scores, for a `settings_key`."""
    path = root / clip.path
    found = path.stat() if path.is_file() else None
    stamp = (found.st_size, found.st_mtime_ns) if found else ()
    parts = [settings, clip.id, clip.path, stamp, clip.start_s, clip.end_s]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _arrays(column: Any) -> list[np.ndarray | None]:
    """Return the lists of a column as NumPy arrays: lists of Python numbers take ten times the memory."""
    values = (part for chunk in column.chunks for part in chunk)
    return [
        value.values.to_numpy(zero_copy_only=False).copy() if value.is_valid else None for value in values
    ]


class ScoreStore:
    """A folder of parquet files with the columns of SCHEMA."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def keys(self) -> dict[str, bool]:
        """Return the key of every row, and whether its clip was decoded (or failed)."""
        found: dict[str, bool] = {}
        for path in self._files():
            table = pq.read_table(path, columns=["key", "decoded", "error"])
            for key, decoded, error in zip(
                *(table[name].to_pylist() for name in table.column_names), strict=True
            ):
                found[key] = found.get(key, False) or decoded or error is not None
        return found

    def add(self, rows: list[dict[str, Any]]) -> Path:
        """Write rows as one file, named by a hash of their keys."""
        name = hashlib.sha256("".join(f"{row['key']}{row['decoded']}" for row in rows).encode()).hexdigest()[
            :16
        ]
        path = self.folder / f"{name}.parquet"
        table = pa.Table.from_pylist([_plain(row) for row in rows], schema=SCHEMA)
        with atomic_write(path) as temporary:
            pq.write_table(table, temporary, compression="zstd")
        return path

    def read(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the rows of these keys; a decoded row comes before one of the header alone."""
        needed, rows = set(keys), dict[str, dict[str, Any]]()
        for path in self._files():
            table = pq.read_table(path, schema=SCHEMA)
            arrays = {name: _arrays(table[name]) for name in ARRAYS}
            for number, row in enumerate(table.drop_columns(list(ARRAYS)).to_pylist()):
                key = row["key"]
                if key in needed and (key not in rows or not rows[key]["decoded"]):
                    rows[key] = row | {name: values[number] for name, values in arrays.items()}
        return rows

    def _files(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*.parquet") if not path.name.startswith("."))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in row.items()}
