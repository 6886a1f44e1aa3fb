"""A stateless mapping from a step to a batch, and a resumable loader over steps."""

import multiprocessing
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from math import gcd
from multiprocessing.context import ForkServerContext
from typing import Any

from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from src.core.process_guard import ParentWatchdog
from src.streaming.batch import Batch
from src.streaming.batch_sampler import BatchIndices, BatchSampler, ValidationSampler
from src.streaming.buckets import balanced_partition
from src.streaming.collate import (
    collate_audio,
    collate_audio_latents,
    collate_clips,
    collate_latents,
)
from src.streaming.config import StorageConfig
from src.streaming.prefetch import Prefetcher, PrefetchProcess
from src.streaming.rank_slices import loss_weight
from src.streaming.reader import BucketReader, Dataset
from src.streaming.schema.bucket import Bucket, DamagedError
from src.streaming.schema.records import Record

REPLACEMENTS, STRIDE = 8, 7919  # other records to try where one is damaged, and their distance (a prime)
MERGED = "merged"  # the bucket's name where a stream draws each batch from all its buckets together


@dataclass
class StreamSource:
    """A stream's data set, its buckets and how its clips are cut; with `audio` the audio of its records."""

    dataset: Dataset
    buckets: tuple[str, ...]
    crop: int | None = None
    lengths: tuple[int, ...] = ()
    audio: bool = False

    def __post_init__(self) -> None:
        self._starts = [0, *accumulate(len(self.dataset.readers[b]) for b in self.buckets)]

    def num_frames(self, bucket: str) -> int:
        """Return the frames that every record of a bucket has; of the merged bucket, the fewest."""
        return min(Bucket.parse(b).num_frames for b in (self.buckets if bucket == MERGED else (bucket,)))

    def num_records(self, bucket: str) -> int:
        """Return the number of a bucket's records; of the merged bucket, of all of them."""
        return self._starts[-1] if bucket == MERGED else len(self.dataset.readers[bucket])

    def read(self, bucket: str, index: int) -> Record:
        """Return record `index` of a bucket; the merged bucket is numbered through all of them."""
        reader, index = self._locate(bucket, index)
        return reader[index]

    def chunk_of(self, bucket: str, index: int) -> tuple[BucketReader, int]:
        """Return the reader and the number of the chunk that holds a record."""
        reader, index = self._locate(bucket, index)
        return reader, reader.chunk_of(index)

    def _locate(self, bucket: str, index: int) -> tuple[BucketReader, int]:
        if bucket != MERGED:
            return self.dataset.readers[bucket], index
        which = bisect_right(self._starts, index) - 1
        return self.dataset.readers[self.buckets[which]], index - self._starts[which]


def read_or_replace(source: StreamSource, bucket: str, index: int, damaged: list[str]) -> Record:
    """Return a record; where it is damaged, another one of the bucket, a function of its number.

    Args:
        damaged: gets a line for each record that cannot be read.

    Raises:
        DamagedError: neither can the others that were tried.
    """
    for attempt in range(REPLACEMENTS + 1):
        try:
            # far from each other: a chunk that does not have its checksum has no readable record
            return source.read(bucket, (index + attempt * STRIDE) % source.num_records(bucket))
        except DamagedError as error:
            if attempt == REPLACEMENTS:
                raise
            damaged.append(str(error))
    raise AssertionError("unreachable")


class StepDataset(TorchDataset[Batch]):
    """Batch number `step` of one rank. Stateless, so workers may read steps in any order."""

    def __init__(
        self,
        sampler: BatchSampler | ValidationSampler,
        sources: dict[str, StreamSource],
        seed: int,
        rank: int,
        world_size: int,
    ) -> None:
        self.sampler, self.sources, self.seed = sampler, sources, seed
        self.rank, self.world_size = rank, world_size

    def __getitem__(self, step: int) -> Batch:
        batch = self.sampler.batch_at(step, self.rank, self.world_size)
        indices, total = self._global_indices(batch), batch.total
        damaged: list[str] = []
        return replace(
            self._collate(batch, indices, damaged),
            damaged=tuple(damaged),
            loss_weight=loss_weight(len(indices), total, self.world_size),
            smallest_slice=total // self.world_size,
        )

    def chunks_of(self, step: int) -> list[tuple[BucketReader, int]]:
        """Return the chunks that this rank's batch of a step needs, each once."""
        batch = self.sampler.batch_at(step, self.rank, self.world_size)
        source = self.sources[batch.stream]
        numbers = [batch.records[i - batch.first] for i in self._global_indices(batch)]
        needed = [source.chunk_of(batch.bucket, number) for number in numbers]
        return list(dict.fromkeys(needed))

    @property
    def is_remote(self) -> bool:
        """Return whether a data set is in a store."""
        return any(r.chunks.remote for s in self.sources.values() for r in s.dataset.readers.values())

    def _collate(self, batch: BatchIndices, indices: list[int], damaged: list[str]) -> Batch:
        source = self.sources[batch.stream]
        records: list[Any] = [
            read_or_replace(source, batch.bucket, batch.records[i - batch.first], damaged) for i in indices
        ]
        if source.audio:
            return collate_audio(records, batch, indices, self.seed, lengths=source.lengths)
        if source.dataset.info.kind == "pixels":
            return collate_clips(
                records,
                batch,
                indices,
                self.seed,
                crop=source.crop,
                lengths=source.lengths,
                num_frames=source.num_frames(batch.bucket),
            )
        if source.dataset.info.kind == "audio_latents":
            return collate_audio_latents(records, batch, indices, self.seed, lengths=source.lengths)
        return collate_latents(records, batch, indices, self.seed)

    def _global_indices(self, batch: BatchIndices) -> list[int]:
        """Return this rank's indices in the global batch; packed, about as many tokens on each rank."""
        if not batch.tokens:
            return list(range(batch.first, batch.first + len(batch.records)))
        # Ranks that have the same virtual shards divide those shards' samples among them.
        groups = gcd(self.world_size, len(batch.shards))
        ranks = self.world_size // groups
        group, rank = divmod(self.rank, ranks)
        bounds = [0, *accumulate(batch.shards)]
        per_group = len(batch.shards) // groups
        begin, end = bounds[group * per_group], bounds[(group + 1) * per_group]
        return [begin + i for i in balanced_partition(batch.tokens[begin:end], ranks)[rank]]


class StepLoader:
    """Batches of consecutive steps; `len` is a virtual epoch, so Lightning neither prefetches nor loses one.

    `state_dict` is {"step": n}: n batches have been yielded. Iterating continues from there to the
    end of the virtual epoch; with `restart` (validation) every iteration begins at step 0.
    """

    def __init__(
        self,
        dataset: StepDataset,
        num_steps: int,
        *,
        num_workers: int = 0,
        restart: bool = False,
        pin_memory: bool = False,
        storage: StorageConfig | None = None,
    ) -> None:
        self.dataset, self.num_steps, self.storage = dataset, num_steps, storage or StorageConfig()
        self.num_workers, self.restart, self.pin_memory = num_workers, restart, pin_memory
        self.step = 0
        self._watchdog: ParentWatchdog | None = None

    def __len__(self) -> int:
        return self.num_steps

    def __iter__(self) -> Iterator[Batch]:
        if self.restart:
            self.step = 0
        end = (self.step // self.num_steps + 1) * self.num_steps if self.num_steps else 0
        steps = range(self.step, end)
        prefetcher = self._prefetcher(steps) if self.dataset.is_remote else None
        try:
            for batch in self._loader(steps):
                self.step = batch.step + 1
                if prefetcher:
                    prefetcher.advance(self.step)
                yield batch
        finally:
            if prefetcher:
                prefetcher.stop()

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step = int(state["step"])

    def _prefetcher(self, steps: range) -> Prefetcher | PrefetchProcess:
        if not self.num_workers:
            return Prefetcher(self.dataset, steps, self.storage)
        return PrefetchProcess(self.dataset, steps, self.storage, self._context())

    def _context(self) -> ForkServerContext:
        # fork would hand every worker the threads and files of this process
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["src.streaming.loader"])
        return context

    def _loader(self, steps: range) -> DataLoader:
        options: dict[str, Any] = {}
        if self.num_workers:
            context = self._context()
            self._watchdog = ParentWatchdog(context)
            options = {
                "num_workers": self.num_workers,
                "multiprocessing_context": context,
                "worker_init_fn": self._watchdog.exit_with_parent,
                "prefetch_factor": 2,
            }
        return DataLoader(self.dataset, batch_size=None, sampler=steps, pin_memory=self.pin_memory, **options)
