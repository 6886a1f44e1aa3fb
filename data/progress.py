"""How far a preparation is: a bar with the time left on a terminal, a line now and then in a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LOG_EVERY_S = 15.0


@contextmanager
def progress(console: Console, title: str, total: int, finished: int) -> Iterator[Callable[[int], None]]:
    """Gives a function to call with the number of inputs just done; `finished` were done earlier."""
    if not console.is_terminal:
        yield _Lines(console, title, total, finished)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=total, completed=finished)
        yield lambda count: bar.advance(task, count)


class _Lines:
    """Progress for logs."""

    def __init__(self, console: Console, title: str, total: int, finished: int) -> None:
        self._console, self._title, self._total = console, title, total
        self._first = self._done = finished
        self._begin = self._said = time.monotonic()
        if finished:
            console.print(f"{title}: {finished} of {total} were done before; going on", soft_wrap=True)

    def __call__(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._said < LOG_EVERY_S and self._done < self._total:
            return
        self._said = now
        left = (now - self._begin) / (self._done - self._first) * (self._total - self._done)
        line = f"{self._title}: {self._done} of {self._total}, about {left:.0f} s left"
        self._console.print(line, soft_wrap=True)
