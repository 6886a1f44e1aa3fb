"""Data sets written by `litdata.optimize`: one LitData directory, records of one size, no checksums.

An item is a dict: what this project writes (with `meta`), or one of
    video    uint8 [T, 3, H, W], with `fps`
    image    uint8 [3, H, W]
    moments  float16 [2C, T, H, W], with `fps` and `bucket`, such as 16x32x32: the size in pixels
and `caption` (a text) or `captions` (JSON list of texts), `id` if there are any. Arrays may be NumPy's.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from src.streaming.chunk_items import ChunkItems
from src.streaming.chunk_sources import Chunks
from src.streaming.schema.audio_record import AudioRecord
from src.streaming.schema.bucket import Bucket, DataError, Kind
from src.streaming.schema.cache_keys import stable_hash
from src.streaming.schema.dataset_index import BucketInfo, ChunkInfo, DatasetInfo
from src.streaming.schema.records import LatentRecord, PixelRecord, Record, record_of


def read_optimized(chunks: Chunks) -> DatasetInfo:
    """Return the index of a directory written by `litdata.optimize`.

    Raises:
        DataError: it is not one, or its items cannot be used.
    """
    index = chunks.read_json("index.json")
    where = chunks.where("index.json")
    try:
        rows = [ChunkInfo(c["filename"], c["chunk_size"], c["chunk_bytes"], "") for c in index["chunks"]]
        items = ChunkItems(index["config"], where)
    except (KeyError, TypeError) as error:
        raise DataError(f"{where}: not LitData's index ({error!r})") from error
    if not rows:
        raise DataError(f"{where}: empty data set (0 records)")
    first = record_of_item(items.read(0, 0, rows[0].records, lambda: chunks.path(rows[0])), 0)
    key = "optimized-" + stable_hash(index)
    buckets = {first.bucket.name: BucketInfo(tuple(rows))}
    return DatasetInfo(kind=_kind_of(first), key=key, buckets=buckets)


def record_of_item(item: Any, index: int, *, bucket: str = "") -> Record:
    """Return the record of an item.

    Args:
        bucket: expected size; empty: any.

    Raises:
        DataError: an item of another form or size.
    """
    record = record_of(item) if isinstance(item, dict) and "meta" in item else _record_of_values(item, index)
    if bucket and record.bucket.name != bucket:
        raise DataError(
            f"item {index} is {record.bucket.name}, the first is {bucket}: a set of litdata.optimize holds "
            "one size; python -m data.prepare sorts files into several"
        )
    return record


def _record_of_values(item: Any, index: int) -> PixelRecord | LatentRecord:
    values: dict[str, Any] = {
        k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in _checked(item).items()
    }
    captions = tuple(json.loads(values["captions"])) if "captions" in values else ()
    common: dict[str, Any] = {
        "id": str(values.get("id", index)),
        "captions": (values["caption"],) if "caption" in values else captions,
        "content_sha256": "unknown",
    }
    if "image" in values:
        record: PixelRecord | LatentRecord = PixelRecord(video_TCHW=values["image"][None], fps=1.0, **common)
    elif "video" in values:
        record = PixelRecord(video_TCHW=values["video"], fps=float(values["fps"]), **common)
    else:
        bucket = Bucket.parse(values["bucket"])
        record = LatentRecord(
            moments_2CTHW=values["moments"], bucket=bucket, fps=float(values["fps"]), **common
        )
    record.validate()
    return record


def _checked(item: Any) -> dict[str, Any]:
    needs = {"image": (), "video": ("fps",), "moments": ("fps", "bucket")}
    if isinstance(item, dict):
        for name, others in needs.items():
            if name in item and all(other in item for other in others):
                return item
    found = sorted(map(str, item)) if isinstance(item, dict) else type(item).__name__
    raise DataError(
        f"an item of litdata.optimize must be a dict with `image`, `video` and `fps`, or `moments`, `fps` "
        f"and `bucket`, found {found}"
    )


def _kind_of(record: Record) -> Kind:
    if isinstance(record, AudioRecord):
        return "audio"
    return "latents" if isinstance(record, LatentRecord) else "pixels"


def is_optimized(root: Path) -> bool:
    """Return whether a directory is one that LitData wrote by itself."""
    return (root / "index.json").is_file() and not (root / "dataset.json").is_file()
