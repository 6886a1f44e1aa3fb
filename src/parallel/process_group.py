"""The processes that torchrun or srun started, for commands that do not train.

`torchrun --nproc_per_node=2 -m src.generate ...` joins them; without a launcher there is one process, and
nothing here communicates.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from src.core.errors import UserError
from src.core.launch import global_rank, local_rank, world_size


@contextmanager
def joined_processes(device_type: str = "cpu") -> Iterator[int]:
    """Join the launcher's processes until the block ends; yield their number.

    Exchanges use gloo on CPUs, NCCL on GPUs; each process of a node takes the GPU of its local rank. A
    UserError is printed by the first process alone.
    """
    world = world_size()
    if world == 1 or dist.is_initialized():
        yield world
        return
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "29500")
    if device_type == "cuda":
        torch.cuda.set_device(local_rank())
    backend = "cpu:gloo,cuda:nccl" if device_type == "cuda" else "gloo"
    # Processes with less to do wait for the others; one that has died is noticed by its connections.
    timeout = timedelta(days=1)
    dist.init_process_group(backend, rank=global_rank(), world_size=world, timeout=timeout)
    try:
        yield world
    except UserError as error:
        if global_rank() == 0:
            raise
        raise SystemExit(UserError.exit_code) from error
    finally:
        dist.destroy_process_group()


def gather_objects(value: object) -> list[object]:
    """Return every process's value, by rank; collective."""
    if not dist.is_initialized():
        return [value]
    values: list[object] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def barrier() -> None:
    """Wait for all processes."""
    if dist.is_initialized():
        dist.barrier()


def on_first_rank(action: Callable[[], None]) -> None:
    """Call a function on the first rank while the others wait; if it fails, all of them end.

    Raises:
        UserError: on the first rank, which prints it.
        SystemExit: on the others.
    """
    failure: UserError | None = None
    if global_rank() == 0:
        try:
            action()
        except UserError as error:
            failure = error
    failed = gather_objects(failure is not None)[0]
    if failure is not None:
        raise failure
    if failed:
        raise SystemExit(UserError.exit_code)
