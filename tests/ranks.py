"""Processes for tests: two ranks on gloo that stay, or one that may be killed.

All come from a fork server that has imported the training code already, so that starting one is fast.
"""

import multiprocessing
import os
import socket
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

TIMEOUT_S = 120.0


def fork_server() -> Any:
    """The multiprocessing context, its server started on first use."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["src.streaming.loader", "src.training.fit", "tests.src.training.toy"])
    return context


def run_apart(function: Callable[..., Any], *args: Any) -> int:
    """Run a function in a process of its own; its exit code, -9 if it was killed."""
    process = fork_server().Process(target=_quiet, args=(function, args))
    process.start()
    process.join(TIMEOUT_S)
    if process.exitcode is None:
        process.kill()
    assert process.exitcode is not None, f"no end within {TIMEOUT_S:.0f} s"
    return process.exitcode


def _quiet(function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("error")
    function(*args)


class Ranks:
    """A pool of ranks. Functions must be importable; they run on all ranks at the same time."""

    def __init__(self, world_size: int = 2) -> None:
        context = fork_server()
        self._pipes: list[Connection] = []
        self._processes = []
        port = _free_port()
        for rank in range(world_size):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(rank, world_size, port, theirs), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)

    def run(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        """Results of all ranks; raises the first rank's error as RankError."""
        for pipe in self._pipes:
            pipe.send((function, args))
        results = []
        for rank, pipe in enumerate(self._pipes):
            if not pipe.poll(TIMEOUT_S):
                self.close()
                raise RankError(f"rank {rank} did not answer within {TIMEOUT_S:.0f} s", "")
            results.append(pipe.recv())
        for good, value, text in results:
            if not good:
                raise RankError(value, text)
        return [value for _, value, _ in results]

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.join()


class RankError(Exception):
    """A rank raised: `args[0]` is "Type: message", `args[1]` the traceback."""


def _serve(rank: int, world_size: int, port: int, pipe: Connection) -> None:
    os.environ.update(
        LOCAL_RANK=str(rank),
        RANK=str(rank),
        GROUP_RANK="0",
        NODE_RANK="0",
        WORLD_SIZE=str(world_size),
        LOCAL_WORLD_SIZE=str(world_size),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        OMP_NUM_THREADS="1",
        TORCHELASTIC_RUN_ID="tests",  # Lightning then leaves starting processes to us
    )
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("error")
    while True:
        try:
            function, args = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((True, function(*args), ""))
        except BaseException as error:
            pipe.send((False, f"{type(error).__name__}: {error}", traceback.format_exc()))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
