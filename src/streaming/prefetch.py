"""Download the chunks of coming steps ahead of them: the sampler knows the order."""

import os
import queue
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from typing import Protocol

import torch

from src.streaming.chunk_cache import ChunkCache
from src.streaming.config import StorageConfig
from src.streaming.reader import BucketReader
from src.streaming.schema.bucket import DataError

TOUCH_EVERY_S = 5.0
FIRST_LEAD, LEAD_GROWTH = 16, 3  # steps
NICENESS = 5
Chunk = tuple[BucketReader, int]


class PlannedChunks(Protocol):
    """The chunks that each step needs: a `StepDataset`."""

    world_size: int

    def chunks_of(self, step: int) -> list[Chunk]:
        """Return the chunks of a step, each once."""


class Prefetcher:
    """Threads that fill the cache with the chunks of steps from `advance` on, in the order of the steps.

    They stay within `steps_ahead` steps and within this process's part of half the cache. A chunk that they
    could not get is tried again by its reader, which then reports it.
    """

    def __init__(self, dataset: PlannedChunks, steps: range, config: StorageConfig) -> None:
        self._dataset, self._steps, self._config = dataset, steps, config
        self._budget = ChunkCache(config).capacity // 2 // num_local_ranks(dataset.world_size)
        self._window: dict[Chunk, int] = {}  # the last step that needs each chunk
        self._first = steps.start
        self._moved = threading.Condition()
        self._stopped = False
        self._requested: queue.SimpleQueue[Chunk | None] = queue.SimpleQueue()
        targets = [self._plan, *[self._download] * config.threads]
        # daemons: a download that is being retried must not keep a process alive
        self._threads = [threading.Thread(target=target, daemon=True) for target in targets]
        for thread in self._threads:
            thread.start()

    def advance(self, step: int) -> None:
        """Note that all steps before `step` are over."""
        with self._moved:
            self._first = step
            self._window = {chunk: last for chunk, last in self._window.items() if last >= step}
            self._moved.notify_all()

    def stop(self) -> None:
        """End the threads; downloads in progress end by themselves."""
        with self._moved:
            self._stopped = True
            self._moved.notify_all()
        for _ in range(self._config.threads):
            self._requested.put(None)

    def _plan(self) -> None:
        for step in self._steps:
            needed = [chunk for chunk in self._dataset.chunks_of(step) if chunk[0].chunks.remote]
            if not self._wait_for_room(step, needed):
                return
            new = [chunk for chunk in needed if chunk not in self._window]
            with self._moved:
                self._window |= dict.fromkeys(needed, step)
            for chunk in new:
                self._requested.put(chunk)
        while self._wait_for_room(self._steps.stop + self._config.steps_ahead, []):
            pass

    def _wait_for_room(self, step: int, needed: list[Chunk]) -> bool:
        """Wait until the chunks of a step may be downloaded; return False at the end."""
        with self._moved:
            touched = time.monotonic()
            while not self._stopped:
                near = step < self._first + self._lead()
                window = self._window.keys() | set(needed)
                size = sum(reader.table[n].bytes for reader, n in window) if near else 0
                if near and (size <= self._budget or not self._window):
                    return True
                self._moved.wait(TOUCH_EVERY_S)
                if time.monotonic() - touched > TOUCH_EVERY_S:
                    touched = time.monotonic()
                    self._touch()
            return False

    def _lead(self) -> int:
        """Return the steps ahead of which chunks are downloaded now.

        It grows by a few steps with each step: filling the lead at once would take the processor and the
        network from the first steps.
        """
        return min(self._config.steps_ahead, FIRST_LEAD + LEAD_GROWTH * (self._first - self._steps.start))

    def _touch(self) -> None:
        """Keep planned chunks from being the ones used longest ago."""
        for reader, number in self._window:
            reader.touch(number)

    def _download(self) -> None:
        while (chunk := self._requested.get()) is not None and not self._stopped:
            reader, number = chunk
            with suppress(DataError, OSError):
                reader.prefetch(number)


class PrefetchProcess:
    """A Prefetcher in a process of its own: downloads would hold the lock of the training's interpreter."""

    def __init__(
        self, dataset: PlannedChunks, steps: range, config: StorageConfig, context: ForkServerContext
    ) -> None:
        receiver, self._sender = context.Pipe(duplex=False)
        process = context.Process(target=_serve, args=(receiver, dataset, steps, config), daemon=True)
        process.start()
        receiver.close()

    def advance(self, step: int) -> None:
        """Note that all steps before `step` are over."""
        with suppress(OSError):  # without it, readers download by themselves
            self._sender.send(step)

    def stop(self) -> None:
        """End the process."""
        self._sender.close()


def _serve(steps_over: Connection, dataset: PlannedChunks, steps: range, config: StorageConfig) -> None:
    """Prefetch until the other end of the connection is closed, or its process has ended."""
    os.nice(NICENESS)  # the workers' batches come first
    prefetcher = Prefetcher(dataset, steps, config)
    with suppress(EOFError, OSError):
        while True:
            prefetcher.advance(steps_over.recv())
    prefetcher.stop()


def num_local_ranks(world_size: int) -> int:
    """Return the processes of this machine that use one cache, by their launcher or its devices."""
    found = os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("SLURM_NTASKS_PER_NODE", "")
    return int(found) if found.isdigit() else min(world_size, max(torch.cuda.device_count(), 1))
