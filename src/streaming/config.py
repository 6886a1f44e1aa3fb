"""Settings of the data module: streams of batches and their sizes."""

import re
from dataclasses import dataclass
from typing import Literal

from src.core.fields import Config, opt
from src.streaming.schema.bucket import Bucket


@dataclass(frozen=True, kw_only=True)
class StreamConfig(Config):
    """One stream of batches: its data set, its fraction of the steps, and its batch size."""

    path: str = opt(
        "", "directory or address (s3://bucket/set) of a prepared data set: what holds dataset.json"
    )
    media: Literal["all", "videos", "images", "audio"] = opt(
        "all", "videos: buckets of more than one frame; images: of one frame; all; audio: the audio of videos"
    )
    buckets: tuple[str, ...] = opt(
        (), "only these buckets, such as 16x32x32; empty means every one that fits"
    )
    merge_buckets: bool = opt(
        False, "draw each batch from all buckets together; pixels only, needs crop (and lengths for videos)"
    )
    pack: bool = opt(
        False, "fill each batch with latents from all buckets together, up to `tokens`, without padding"
    )
    weight: int = opt(
        1, "parts of the steps: image 1 and video 3 means one image batch to three of videos", ge=1
    )
    batch_size: int = opt(
        8, "samples in the global batch, over all ranks; with tokens: its unit; with pack: its minimum", ge=1
    )
    tokens: int = opt(
        0, "maximum number of tokens in the global batch, filled with samples; 0: batch_size samples", ge=0
    )
    crop: int = opt(0, "side of a random square cut from each clip, in pixels; 0 keeps the full frame", ge=0)
    lengths: tuple[int, ...] = opt(
        (),
        "clip lengths in frames (audio: samples; its latents: latent frames), one for each step; empty keeps"
        " all",
        ge=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.buckets:
            Bucket.parse(name)
        if self.pack and not self.tokens:
            raise ValueError("pack=true needs a budget: tokens must be above 0, got 0")
        if self.pack and (self.crop or self.lengths):
            raise ValueError(
                f"pack=true takes complete latents, not crop={self.crop}, lengths={list(self.lengths)}"
            )
        if self.tokens and self.merge_buckets:
            raise ValueError(f"tokens={self.tokens} is by bucket; not possible with merge_buckets=true")

    def num_samples(self, bucket: Bucket, token_size: tuple[int, int, int]) -> int:
        """Return the samples of a global batch of one bucket: `batch_size`, or what the token budget holds.

        Raises:
            ValueError: the budget does not hold `batch_size` samples.
        """
        if not self.tokens:
            return self.batch_size
        each = bucket.num_tokens(token_size)
        unit = 1 if self.pack else self.batch_size
        fitting = self.tokens // each // unit * unit
        if not fitting:
            raise ValueError(
                f"tokens={self.tokens} does not hold batch_size={unit} samples of bucket "
                f"{bucket.name} ({each} tokens each); it needs {each * unit}"
            )
        return fitting


SECRET = re.compile(r"secret|token|password|credential|access_key|account_key|connection_string|sas", re.I)


@dataclass(frozen=True, kw_only=True)
class StorageConfig(Config):
    """Download and cache of chunks of data sets at addresses (s3://, gs://, ...); no credentials."""

    cache_dir: str = opt(
        "",
        "directory of downloaded chunks, on a disk of the machine; empty: moviegen-chunks-UID in TMPDIR",
        resumable=True,
    )
    cache_gb: float = opt(50.0, "bytes of chunks kept on a machine, in GB of 1e9", gt=0, resumable=True)
    threads: int = opt(8, "chunks that each process downloads at once", ge=1, resumable=True)
    steps_ahead: int = opt(
        256,
        "steps whose chunks are downloaded ahead, as far as half the cache holds them",
        ge=1,
        resumable=True,
    )
    patience_s: float = opt(
        300.0, "seconds of tries before a chunk that cannot be had ends the run", resumable=True
    )
    attempt_s: float = opt(
        120.0, "seconds after which a slow download is given up and tried again", gt=0, resumable=True
    )
    options: dict[str, str] = opt(
        {},
        "options of the store's client, such as endpoint_url or region_name of s3; credentials come from the "
        "environment",
        resumable=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in filter(SECRET.search, self.options):
            raise ValueError(
                f"options.{name}: a run keeps its config, so credentials come from the environment "
                "(AWS_ACCESS_KEY_ID, ..., or MOVIEGEN_STORAGE_OPTIONS, a JSON object)"
            )


@dataclass(frozen=True, kw_only=True)
class DataConfig(Config):
    """Training and validation data."""

    streams: dict[str, StreamConfig] = opt({}, "training streams by name; batches are mixed, never samples")
    val: dict[str, StreamConfig] = opt(
        {}, "validation streams by name; order is that of the files, no mixing"
    )
    token_size: tuple[int, int, int] = opt(
        (8, 16, 16),
        "frames, rows, columns of pixels in one token (TAE factor times patch); of audio: samples, 1, 1",
        ge=1,
    )
    val_batches: int = opt(0, "validation batches of each stream at most; 0 means all", ge=0)
    num_workers: int = opt(
        0,
        "worker processes that read and collate; the batches are the same for any number",
        ge=0,
        resumable=True,
    )
    shuffle_chunks: int = opt(16, "neighboring chunks (in permuted order) that records are mixed over", ge=1)
    virtual_shards: int = opt(
        1,
        "parts of the chunks that fill equal slices of every batch, so that a node reads only its own: a "
        "multiple of the nodes and a divisor of the batches",
        ge=1,
    )
    verify: bool = opt(True, "compare each chunk with its checksum before its first use", resumable=True)
    storage: StorageConfig = opt(StorageConfig(), "data sets in a store: downloads and the cache")
