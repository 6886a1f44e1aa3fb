"""What a data set looks like on disk: records, keys, and the writer that makes one whole or not at all.

`data` and the latent encoder write through this package; nothing here knows of training or of order.

    DIR/dataset.json          written last: kind, key, content hash, buckets, every chunk's size and sha256
    DIR/<T>x<H>x<W>/          one LitData directory for each bucket: index.json and chunk-<part>-<n>.bin
    DIR/rejected.jsonl        what was refused, and why
    DIR/.parts/               unfinished work; gone when the data set is whole
"""

from src.streaming.schema.cache_keys import check_key, encoder_key, file_sha256, latent_key, stable_hash
from src.streaming.schema.dataset_index import BucketInfo, ChunkInfo, DatasetInfo, read_info
from src.streaming.schema.part_writer import PartWriter, Rejection
from src.streaming.schema.records import (
    SCHEMA_VERSION,
    Bucket,
    DataError,
    LatentRecord,
    PixelRecord,
    content_sha256,
    item_of,
    record_of,
)
from src.streaming.schema.writer import DatasetWriter, LatentWriter, PixelWriter

__all__ = [
    "SCHEMA_VERSION",
    "Bucket",
    "BucketInfo",
    "ChunkInfo",
    "DataError",
    "DatasetInfo",
    "DatasetWriter",
    "LatentRecord",
    "LatentWriter",
    "PartWriter",
    "PixelRecord",
    "PixelWriter",
    "Rejection",
    "check_key",
    "content_sha256",
    "encoder_key",
    "file_sha256",
    "item_of",
    "latent_key",
    "read_info",
    "record_of",
    "stable_hash",
]
