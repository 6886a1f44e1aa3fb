"""Worker processes that end when the process that started them does, even if that one is killed.

A worker started through a fork server is nobody's child: after `kill -9` of the main process it would
wait for work for ever, with all its memory. So each worker holds the reading end of a pipe whose
writing end only the main process has, and leaves when it closes.
"""

import os
import threading
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext


class Lifeline:
    """Kept by the main process; `worker_end` is called in each worker (picklable while it is started)."""

    def __init__(self, context: BaseContext) -> None:
        reader, self._writer = context.Pipe(duplex=False)
        self.worker_end = WorkerEnd(reader)


class WorkerEnd:
    """Call it in the worker, with any arguments, to tie its life to the main process."""

    def __init__(self, reader: Connection) -> None:
        self._reader = reader

    def __call__(self, *_: object) -> None:
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        try:
            self._reader.recv_bytes()
        except (EOFError, OSError):
            os._exit(1)
