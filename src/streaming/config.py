"""What is trained and validated on, as configured: streams of batches and their sizes."""

from dataclasses import dataclass
from typing import Literal

from src.core.fields import opt
from src.streaming.schema import Bucket


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """One kind of batches: what it reads, its share of the steps, and its batch size."""

    path: str = opt("", "directory of a prepared data set (the one that holds dataset.json)")
    frames: Literal["all", "videos", "images"] = opt(
        "all", "which buckets: more than one frame, one frame, or all"
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
    weight: int = opt(1, "share of the steps: image 1 and video 3 means one image batch for three of videos")
    batch_size: int = opt(
        8, "samples in the global batch, over all ranks; with tokens: its unit; with pack: the least"
    )
    tokens: int = opt(0, "tokens in the global batch at most: as many samples as fit; 0: batch_size samples")
    crop: int = opt(0, "side of a random square cut from each clip, in pixels; 0 keeps the whole frame")
    lengths: tuple[int, ...] = opt(
        (), "clip lengths in frames, one drawn for each step; empty keeps all frames"
    )

    def __post_init__(self) -> None:
        for name, least in (("weight", 1), ("batch_size", 1), ("crop", 0), ("tokens", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if any(n < 1 for n in self.lengths):
            raise ValueError(f"lengths must be at least 1 frame, got {list(self.lengths)}")
        for name in self.buckets:
            Bucket.parse(name)
        if self.pack and not self.tokens:
            raise ValueError("pack=true needs a budget: tokens must be above 0, got 0")
        if self.pack and (self.crop or self.lengths):
            raise ValueError(
                f"pack=true takes whole latents, not crop={self.crop}, lengths={list(self.lengths)}"
            )
        if self.tokens and self.merge_buckets:
            raise ValueError(f"tokens={self.tokens} is by bucket and does not go with merge_buckets=true")

    def samples(self, bucket: Bucket, token_size: tuple[int, int, int]) -> int:
        """Samples of a global batch of this bucket alone: `batch_size`, or what the token budget holds.

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


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What is trained and validated on."""

    streams: dict[str, StreamConfig] = opt({}, "training streams by name; batches are mixed, never samples")
    val: dict[str, StreamConfig] = opt(
        {}, "validation streams by name; order is that of the files, no mixing"
    )
    token_size: tuple[int, int, int] = opt(
        (8, 16, 16),
        "frames, rows, columns of pixels in one token (TAE factor times patch)",
    )
    val_batches: int = opt(0, "validation batches of each stream at most; 0 means all")
    num_workers: int = opt(
        0, "worker processes that read and collate; the batches are the same for any number"
    )
    shuffle_chunks: int = opt(16, "neighbouring chunks (in permuted order) that records are mixed over")
    verify: bool = opt(True, "compare each chunk with its checksum before its first use")

    def __post_init__(self) -> None:
        for name, least in (("val_batches", 0), ("num_workers", 0), ("shuffle_chunks", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if min(self.token_size) < 1:
            raise ValueError(f"token_size must be at least 1 along each axis, got {list(self.token_size)}")
