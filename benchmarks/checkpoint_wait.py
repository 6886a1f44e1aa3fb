"""Measure how long training waits for a sharded checkpoint, synchronous and asynchronous.

`python -m benchmarks.checkpoint_wait gigabytes=2` saves a state of that size from two processes on this
machine to `folder`: each time twice, because the first asynchronous save also allocates its buffers.
"""

import multiprocessing
import os
import shutil
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import tensor as distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard

from src.core import cli, config
from src.core.fields import Config, opt
from src.parallel.sharded_saver import ShardedSaver

TENSOR_VALUES = 2**22  # 16 MiB each, as of matrices of a large model


@dataclass(frozen=True, kw_only=True)
class CheckpointWaitConfig(Config):
    """Size of the state, and where it is saved."""

    gigabytes: float = opt(2.0, "bytes of weights, moments and EMA together", gt=0)
    num_processes: int = opt(2, "processes on this machine", ge=1)
    folder: str = opt("runs/checkpoint_wait", "where checkpoints are written; removed at the end")


def measure(rank: int, port: int, settings: CheckpointWaitConfig, results: Any) -> None:
    """Save on one process; the first one puts rows of (name, seconds training waits, seconds to the disk)."""
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=settings.num_processes)
    mesh = init_device_mesh("cpu", (settings.num_processes,))
    count = max(1, round(settings.gigabytes * 1e9 / (4 * TENSOR_VALUES)))
    shape, placements = (TENSOR_VALUES // 1024, 1024), [Shard(0)]
    tensors = {
        f"model/{i}": distributed.ones(*shape, device_mesh=mesh, placements=placements) for i in range(count)
    }
    for is_async in (False, True):
        saver = ShardedSaver(is_async=is_async)
        for attempt in ("first", "second"):
            path = Path(settings.folder) / f"{is_async}-{attempt}.ckpt"
            dist.barrier()
            start = time.perf_counter()
            saver.save(tensors, {"optimizer_groups": []}, path)
            waited = time.perf_counter() - start
            saver.wait()
            complete = time.perf_counter() - start
            if rank == 0:
                results.put((f"{'asynchronous' if is_async else 'synchronous'}, {attempt}", waited, complete))
                shutil.rmtree(path)
        saver.close()
    dist.destroy_process_group()


def main(argv: list[str]) -> None:
    """Print a table."""
    settings = config.from_command_line(CheckpointWaitConfig, argv, __doc__)
    if settings is None:
        return
    Path(settings.folder).mkdir(parents=True, exist_ok=True)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [
        context.Process(target=measure, args=(rank, port, settings, results))
        for rank in range(settings.num_processes)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print(f"| {settings.gigabytes} GB, {settings.num_processes} processes | training waits, s | on disk, s |")
    print("|---|---|---|")
    while not results.empty():
        name, waited, complete = results.get()
        print(f"| {name} | {waited:.2f} | {complete:.2f} |", flush=True)
    shutil.rmtree(settings.folder)


if __name__ == "__main__":
    sys.exit(cli.run(main))
