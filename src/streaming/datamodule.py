"""Data sets, mixture and batch sizes as Lightning sees them."""

import lightning as L
import torch

from src.streaming.batch_sampler import BatchPlan, StreamPlan, ValidationPlan
from src.streaming.buckets import BucketPlan, PackedPlan
from src.streaming.config import DataConfig, StreamConfig
from src.streaming.loader import MERGED, Source, StepDataset, StepLoader
from src.streaming.reader import Dataset
from src.streaming.schema import Bucket, DataError, check_key


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
                share = f"{stream.weight}/{total}"
                if isinstance(plan, PackedPlan):
                    rows += [(name, *row, share) for row in self._packed_rows(name, plan)]
                    continue
                tokens = 0 if bucket == MERGED else Bucket.parse(bucket).num_tokens(self.config.token_size)
                sizes = (str(tokens or "-"), str(plan.batch_size), str(tokens * plan.batch_size or "-"))
                batches = f"{plan.per_epoch / plan.batch_size:.1f}"
                rows.append((name, bucket, str(plan.records), *sizes, batches, share))
        widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
        return "\n".join("  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows)

    def _packed_rows(self, name: str, plan: PackedPlan) -> list[tuple[str, ...]]:
        """Of a packed stream's buckets and of all together: what a batch holds on average."""
        n, config = plan.num_batches, self.config.streams[name]
        rows = []
        for bucket in self._stream(f"data.streams.{name}", config)[0]:
            records = self.dataset(config.path).info.buckets[bucket].records
            tokens = Bucket.parse(bucket).num_tokens(self.config.token_size)
            sizes = (str(tokens), f"{records / n:.1f}", f"{records * tokens / n:.1f}")
            rows.append((bucket, str(records), *sizes, f"{n:.1f}"))
        mean = f"{plan.epoch_tokens / n:.1f} of {plan.budget}"
        return [*rows, ("packed", str(plan.records), "-", f"{plan.records / n:.1f}", mean, f"{n:.1f}")]

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
        if config.pack:
            return names, StreamPlan(config.weight, {MERGED: self._packed(key, config, sizes)})
        plans = {b: BucketPlan(n, self._samples(key, config, b)) for b, n in sizes.items()}
        return names, StreamPlan(config.weight, plans)

    def _samples(self, key: str, config: StreamConfig, bucket: str) -> int:
        if bucket == MERGED:
            return config.batch_size
        try:
            return config.samples(Bucket.parse(bucket), self.config.token_size)
        except ValueError as error:
            raise DataError(f"{key}: {error}") from error

    def _packed(self, key: str, config: StreamConfig, sizes: dict[str, tuple[int, ...]]) -> PackedPlan:
        """All buckets as one. DataError names the key."""
        if key.startswith("data.val."):
            raise DataError(f"{key}.pack=true: validation goes bucket by bucket; leave pack out")
        if self.dataset(config.path).info.kind != "latents":
            raise DataError(
                f"{key}.pack=true: only latents are packed, {config.path} holds pixels; use merge_buckets"
            )
        each = {b: Bucket.parse(b).num_tokens(self.config.token_size) for b in sizes}
        tokens = tuple(each[b] for b, chunks in sizes.items() for _ in chunks)
        chunks = tuple(n for b in sizes for n in sizes[b])
        try:
            return PackedPlan(chunks, config.batch_size, tokens, config.tokens)
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
