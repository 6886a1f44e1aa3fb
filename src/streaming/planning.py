"""Plan streams: which buckets of which data sets make up the batches, checked against the settings."""

from collections.abc import Mapping

import numpy as np

from src.streaming.batch_sampler import StreamSpec
from src.streaming.buckets import BucketSpec, PackedBucketSpec
from src.streaming.config import StreamConfig
from src.streaming.loader import MERGED, StreamSource
from src.streaming.rank_slices import check_slices
from src.streaming.reader import Dataset
from src.streaming.schema.bucket import Bucket, DataError

TokenSize = tuple[int, int, int]


class StreamPlan:
    """One stream: its settings, its data set, the buckets it takes from it, and its batches.

    Args:
        key: the settings' full key, such as "data.streams.videos", for messages.

    Raises:
        DataError: buckets that do not exist or cannot be merged or packed, a token budget too small.
    """

    def __init__(self, key: str, config: StreamConfig, dataset: Dataset, token_size: TokenSize) -> None:
        self.key, self.config, self.dataset, self.token_size = key, config, dataset, token_size
        self.buckets = _select_buckets(key, config, list(dataset.info.buckets))
        self.spec = StreamSpec(config.weight, self._bucket_specs())

    def source(self) -> StreamSource:
        """Return where the stream's batches are read, and how their clips are cut."""
        crop, lengths = self.config.crop or None, tuple(self.config.lengths)
        audio = "audio" in (self.config.media, self.dataset.info.kind)
        return StreamSource(self.dataset, tuple(self.buckets), crop, lengths, audio)

    def _bucket_specs(self) -> dict[str, BucketSpec]:
        sizes = {b: self.dataset.readers[b].table.records_K for b in self.buckets}
        if self.config.merge_buckets:
            self._check_merge()
            return {MERGED: BucketSpec(np.concatenate(list(sizes.values())), self.config.batch_size)}
        if self.config.pack:
            return {MERGED: self._packed(sizes)}
        return {b: BucketSpec(n, self._num_samples(b)) for b, n in sizes.items()}

    def _num_samples(self, bucket: str) -> int:
        if self.config.tokens and self.dataset.info.kind == "audio_latents":
            raise DataError(
                f"{self.key}.tokens: batches of audio latents are counted in samples; use batch_size"
            )
        try:
            return self.config.num_samples(Bucket.parse(bucket), self.token_size)
        except ValueError as error:
            raise DataError(f"{self.key}: {error}") from error

    def _packed(self, sizes: dict[str, np.ndarray]) -> PackedBucketSpec:
        if self.key.startswith("data.val."):
            raise DataError(f"{self.key}.pack=true: validation goes bucket by bucket; leave pack out")
        if self.dataset.info.kind != "latents":
            raise DataError(
                f"{self.key}.pack=true: only latents are packed, {self.config.path} holds "
                f"{self.dataset.info.kind}; use merge_buckets"
            )
        each = {b: Bucket.parse(b).num_tokens(self.token_size) for b in sizes}
        tokens = np.concatenate([np.full(len(chunks), each[b]) for b, chunks in sizes.items()])
        chunks = np.concatenate(list(sizes.values()))
        try:
            return PackedBucketSpec(chunks, self.config.batch_size, tokens, self.config.tokens)
        except ValueError as error:
            raise DataError(f"{self.key}: {error}") from error

    def _check_merge(self) -> None:
        """Raise DataError unless every bucket can give clips of the same size."""
        key, config = self.key, self.config
        buckets = [Bucket.parse(b) for b in self.buckets]
        if self.dataset.info.kind != "pixels":
            raise DataError(
                f"{key}.merge_buckets=true: {self.dataset.info.kind} cannot be cropped to one size, so their "
                "buckets stay apart"
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


def plan_streams(
    key: str,
    configs: Mapping[str, StreamConfig],
    datasets: Mapping[str, Dataset],
    token_size: TokenSize,
    world_size: int = 1,
) -> dict[str, StreamPlan]:
    """Return the plans of some streams by name, in the order of their names.

    Args:
        key: "data.streams" or "data.val", for messages.
        datasets: opened data sets by path.
        world_size: number of ranks that share each batch.

    Raises:
        DataError: settings that the data sets or the ranks do not allow.
    """
    plans = {}
    for name, config in sorted(configs.items()):
        plans[name] = plan = StreamPlan(f"{key}.{name}", config, datasets[config.path], token_size)
        for bucket, spec in plan.spec.buckets.items():
            by_tokens = bool(config.tokens) and not config.pack
            each = Bucket.parse(bucket).num_tokens(token_size) if by_tokens else 0
            check_slices(plan.key, spec.batch_size, world_size, each)
    return plans


def _select_buckets(key: str, config: StreamConfig, available: list[str]) -> list[str]:
    missing = [b for b in config.buckets if b not in available]
    if missing:
        raise DataError(
            f"{key}.buckets: {', '.join(missing)} not in {config.path}, which has {', '.join(available)}"
        )
    kinds = {"all": (True, False), "videos": (False,), "images": (True,), "audio": (False,)}[config.media]
    names = [b for b in config.buckets or sorted(available) if Bucket.parse(b).is_image in kinds]
    if not names:
        remove = f"{key}=null removes the stream, " if key.startswith("data.streams.") else ""
        raise DataError(
            f"{key}: {config.path} has no {config.media}; its buckets are {', '.join(available)}; "
            f"{remove}{key}.media=all takes them"
        )
    return names


def report(plans: Mapping[str, StreamPlan]) -> str:
    """Return a table of streams and buckets (records, tokens, batches in an epoch), and warnings."""
    rows: list[tuple[str, ...]] = []
    rows += [("stream", "bucket", "records", "tokens", "batch", "tokens/batch", "batches/epoch", "fraction")]
    total = sum(plan.spec.weight for plan in plans.values())
    for name, plan in plans.items():
        for bucket, spec in plan.spec.buckets.items():
            fraction = f"{plan.spec.weight}/{total}"
            if isinstance(spec, PackedBucketSpec):
                rows += [(name, *row, fraction) for row in _packed_rows(plan, spec)]
                continue
            tokens = 0 if bucket == MERGED else Bucket.parse(bucket).num_tokens(plan.token_size)
            sizes = (str(tokens or "-"), str(spec.batch_size), str(tokens * spec.batch_size or "-"))
            batches = f"{spec.per_epoch / spec.batch_size:.1f}"
            rows.append((name, bucket, str(spec.num_records), *sizes, batches, fraction))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows]
    return "\n".join([*lines, *_warnings(plans)])


def _warnings(plans: Mapping[str, StreamPlan]) -> list[str]:
    """Return a line for each stream of latents with uncaptioned records; pixels train without captions."""
    infos = {name: plan.dataset.info for name, plan in plans.items()}
    return [
        f"warning: stream {name}: {info.num_uncaptioned} of {info.records} records have no caption and train "
        "without text"
        for name, info in infos.items()
        if info.num_uncaptioned and info.kind in ("latents", "audio_latents")
    ]


def _packed_rows(plan: StreamPlan, spec: PackedBucketSpec) -> list[tuple[str, ...]]:
    """Return rows of a packed stream's buckets and of all together: what a batch holds on average."""
    n = spec.num_batches
    rows = []
    for bucket in plan.buckets:
        records = plan.dataset.info.buckets[bucket].records
        tokens = Bucket.parse(bucket).num_tokens(plan.token_size)
        sizes = (str(tokens), f"{records / n:.1f}", f"{records * tokens / n:.1f}")
        rows.append((bucket, str(records), *sizes, f"{n:.1f}"))
    mean = f"{spec.epoch_tokens / n:.1f} of {spec.budget}"
    return [*rows, ("packed", str(spec.num_records), "-", f"{spec.num_records / n:.1f}", mean, f"{n:.1f}")]
