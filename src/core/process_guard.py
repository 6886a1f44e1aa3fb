"""Worker processes that exit when the process that started them does, even if that one is killed.

A worker started through a fork server is re-parented to init and would block forever after `kill -9` of the
main process, with all its memory. So each worker holds the reading end of a pipe whose writing end only the
main process has, and exits when it closes.
"""

import os
import threading
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext


class ParentWatchdog:
    """The main process's side; each worker calls `exit_with_parent` (picklable while it is started)."""

    def __init__(self, context: BaseContext) -> None:
        reader, self._writer = context.Pipe(duplex=False)
        self.exit_with_parent = ExitWithParent(reader)


class ExitWithParent:
    """Called in a worker, with any arguments: makes it exit when the main process does."""

    def __init__(self, reader: Connection) -> None:
        self._reader = reader

    def __call__(self, *_: object) -> None:
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        try:
            self._reader.recv_bytes()
        except (EOFError, OSError):
            os._exit(1)
