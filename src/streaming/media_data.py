"""Data sets, mixture and batch sizes as Lightning sees them."""

from dataclasses import dataclass
from typing import Literal

import lightning as L
import torch

from src.options import opt
from src.streaming.loader import MERGED, Source, StepDataset, StepLoader
from src.streaming.plan import BatchPlan, BucketPlan, StreamPlan, ValidationPlan
from src.streaming.reader import Dataset
from src.streaming.schema import Bucket, DataError, check_key


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
    weight: int = opt(1, "share of the steps: image 1 and video 3 means one image batch for three of videos")
    batch_size: int = opt(8, "samples in the global batch, over all ranks; with tokens: its unit")
    tokens: int = opt(
        0, "tokens in the global batch: each bucket takes as many samples as fit; 0: batch_size samples"
    )
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
        if self.tokens and self.merge_buckets:
            raise ValueError(f"tokens={self.tokens} is by bucket and does not go with merge_buckets=true")

    def samples(self, bucket: Bucket, token_size: tuple[int, int, int]) -> int:
        """Samples of a global batch of this bucket: `batch_size`, or what the token budget holds.

        Raises:
            ValueError: the budget does not hold `batch_size` samples.
        """
        if not self.tokens:
            return self.batch_size
        each = bucket.num_tokens(token_size)
        fitting = self.tokens // each // self.batch_size * self.batch_size
        if not fitting:
            raise ValueError(
                f"tokens={self.tokens} does not hold batch_size={self.batch_size} samples of bucket "
                f"{bucket.name} ({each} tokens each); it needs {each * self.batch_size}"
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


class MediaData(L.LightningDataModule):
    """Loaders whose batches are a pure function of (seed, step).

    Args:
        config: streams and sizes.
        seed: of order, crops and captions.
        num_steps: length of the training loader, one virtual epoch.
        keys: expected data set key by path; any other key is a stale cache.
        renew: command that renews a stale cache, for the message.
        rank, world_size: place among the data-parallel ranks; None takes the trainer's.

    Raises:
        DataError: empty or broken data set, bucket smaller than a batch, batch size that the ranks
            cannot share equally, stale cache.
    """

    def __init__(
        self,
        config: DataConfig,
        seed: int,
        *,
        num_steps: int,
        keys: dict[str, str] | None = None,
        renew: str = "",
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        super().__init__()
        if not config.streams:
            raise DataError(
                "data.streams is empty: name at least one stream, such as data.streams.video.path=DIR"
            )
        self.config, self.seed, self.num_steps = config, seed, num_steps
        self._keys, self._renew = keys or {}, renew
        self._rank, self._world_size = rank, world_size
        self._datasets: dict[str, Dataset] = {}

    def train_dataloader(self) -> StepLoader:
        """Batches of steps 0, 1, ...; resumes through `load_state_dict({"step": n})`."""
        dataset = self._step_dataset("streams", self.config.streams, self.plan(), self.seed)
        return StepLoader(dataset, self.num_steps, num_workers=self.config.num_workers, pin_memory=_pin())

    def val_dataloader(self) -> StepLoader | list:
        """Every validation record once, with fixed crops and captions; empty list without val streams."""
        if not self.config.val:
            return []
        plan = ValidationPlan(self._streams("val", self.config.val), limit=self.config.val_batches)
        dataset = self._step_dataset("val", self.config.val, plan, seed=0)
        return StepLoader(dataset, len(plan), restart=True, pin_memory=_pin())

    def plan(self) -> BatchPlan:
        """The order of training batches."""
        streams = self._streams("streams", self.config.streams)
        return BatchPlan(streams, self.seed, shuffle_chunks=self.config.shuffle_chunks)

    def dataset(self, path: str) -> Dataset:
        """The data set at a path, opened and checked once."""
        if path not in self._datasets:
            dataset = Dataset(path, verify=self.config.verify)
            if path in self._keys:
                check_key(path, dataset.info.key, self._keys[path], self._renew)
            self._datasets[path] = dataset
        return self._datasets[path]

    def report(self) -> str:
        """A table of streams and buckets: records, tokens, batch size, batches in an epoch.

        Raises:
            DataError: a bucket is missing or holds less than one batch.
        """
        self.plan()
        rows = [("stream", "bucket", "records", "tokens", "batch", "tokens/batch", "batches/epoch", "share")]
        total = sum(s.weight for s in self.config.streams.values())
        for name, stream in self._streams("streams", self.config.streams).items():
            for bucket, plan in stream.buckets.items():
                tokens = 0 if bucket == MERGED else Bucket.parse(bucket).num_tokens(self.config.token_size)
                sizes = (str(tokens or "-"), str(plan.batch_size), str(tokens * plan.batch_size or "-"))
                batches = f"{plan.per_epoch / plan.batch_size:.1f}"
                rows.append((name, bucket, str(plan.records), *sizes, batches, f"{stream.weight}/{total}"))
        widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
        return "\n".join("  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows)

    def _streams(self, key: str, configs: dict[str, StreamConfig]) -> dict[str, StreamPlan]:
        return {name: self._stream(f"data.{key}.{name}", c)[1] for name, c in sorted(configs.items())}

    def _stream(self, key: str, config: StreamConfig) -> tuple[list[str], StreamPlan]:
        """The buckets that a stream takes from its data set, and its share of the order."""
        if not config.path:
            raise DataError(f"{key}.path must be given: a directory made by `python -m data.prepare`")
        if config.batch_size % self.world_size:
            raise DataError(
                f"{key}.batch_size={config.batch_size} cannot be shared equally by {self.world_size} ranks"
            )
        infos = self.dataset(config.path).info.buckets
        missing = [b for b in config.buckets if b not in infos]
        if missing:
            raise DataError(
                f"{key}.buckets: {', '.join(missing)} not in {config.path}, which has {', '.join(infos)}"
            )
        wanted = {"all": (True, False), "videos": (False,), "images": (True,)}[config.frames]
        names = [b for b in config.buckets or sorted(infos) if Bucket.parse(b).is_image in wanted]
        if not names:
            raise DataError(
                f"{key}: {config.path} has no {config.frames}; its buckets are {', '.join(infos)}"
            )
        sizes = {b: tuple(c.records for c in infos[b].chunks) for b in names}
        if config.merge_buckets:
            self._check_merge(key, config, [Bucket.parse(b) for b in names])
            sizes = {MERGED: tuple(n for b in names for n in sizes[b])}
        plans = {b: BucketPlan(n, self._samples(key, config, b)) for b, n in sizes.items()}
        return names, StreamPlan(config.weight, plans)

    def _samples(self, key: str, config: StreamConfig, bucket: str) -> int:
        if bucket == MERGED:
            return config.batch_size
        try:
            return config.samples(Bucket.parse(bucket), self.config.token_size)
        except ValueError as error:
            raise DataError(f"{key}: {error}") from error

    def _check_merge(self, key: str, config: StreamConfig, buckets: list[Bucket]) -> None:
        """Every bucket must give clips of the same size. DataError names the key and the bucket."""
        if self.dataset(config.path).info.kind != "pixels":
            raise DataError(
                f"{key}.merge_buckets=true: latents cannot be cropped, so their buckets stay apart"
            )
        for bucket in buckets:
            if not 0 < config.crop <= min(bucket.height, bucket.width):
                raise DataError(
                    f"{key}.merge_buckets=true needs crop between 1 and the smallest side; "
                    f"crop={config.crop} does not suit bucket {bucket.name}"
                )
        fewest = min(b.num_frames for b in buckets)
        if len({b.num_frames for b in buckets}) > 1 and not any(n <= fewest for n in config.lengths):
            raise DataError(
                f"{key}.merge_buckets=true needs lengths of at most {fewest} frames, "
                f"got {list(config.lengths)}"
            )

    def _step_dataset(
        self, key: str, configs: dict[str, StreamConfig], plan: BatchPlan | ValidationPlan, seed: int
    ) -> StepDataset:
        sources = {}
        for name, config in configs.items():
            buckets, _ = self._stream(f"data.{key}.{name}", config)
            cut = (config.crop or None, tuple(config.lengths))
            sources[name] = Source(self.dataset(config.path), tuple(buckets), *cut)
        return StepDataset(plan, sources, seed, self.rank, self.world_size)

    @property
    def world_size(self) -> int:
        if self._world_size is not None:
            return self._world_size
        return self.trainer.world_size if self.trainer is not None else 1

    @property
    def rank(self) -> int:
        if self._rank is not None:
            return self._rank
        return self.trainer.global_rank if self.trainer is not None else 0


def _pin() -> bool:
    return torch.cuda.is_available()
