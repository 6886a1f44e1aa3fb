"""Progress of long work: a bar with the remaining time on a terminal, occasional lines in a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

LOG_SECONDS = 30.0  # between two lines where there is no terminal


class ProgressReport:
    """A bar on a terminal, else lines at most every LOG_SECONDS; a context manager, or start and stop it.

    The time left comes from this process's own speed: items finished by an earlier, interrupted call
    do not enter it.

    Args:
        title: what is counted, such as "encode train".
        total: number of items.
        finished: items that an earlier call finished.
    """

    def __init__(self, title: str, total: int, finished: int = 0, console: Console | None = None) -> None:
        self.title, self.total, self.done = title, total, finished
        self.console = console or Console(highlight=False)
        self._first, self._bar = finished, None
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left {task.fields[left]}  {task.fields[text]}"),
                console=self.console,
            )
            self._task = self._bar.add_task(title, total=total, completed=finished, left="-:--", text="")

        self._start = self._printed = time.monotonic()

    def __enter__(self) -> "ProgressReport":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        if self._bar is not None:
            self._bar.start()
        elif self.done:
            self._print(f"{self.title}: {self.done} of {self.total} were done before; resuming")

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, count: int) -> None:
        """Report `count` more finished items."""
        self.update(self.done + count)

    def update(self, done: int, text: str = "") -> None:
        """Report the number of finished items, followed by a text."""
        self.done, now = done, time.monotonic()
        left = format_clock(self._seconds_left(now))
        if self._bar is not None:
            self._bar.update(self._task, completed=done, left=left, text=text)
        elif now - self._printed > LOG_SECONDS or done >= self.total:
            self._printed = now
            self._print(f"{self.title} {done}/{self.total}  left {left}  {text}".rstrip())

    def _seconds_left(self, now: float) -> float:
        per_item = (now - self._start) / max(self.done - self._first, 1)
        return per_item * (self.total - self.done)

    def _print(self, line: str) -> None:
        self.console.print(line, soft_wrap=True)


@contextmanager
def progress(
    title: str, total: int, finished: int = 0, console: Console | None = None
) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the number of items just finished; see `ProgressReport`."""
    with ProgressReport(title, total, finished, console) as report:
        yield report.advance


def format_clock(seconds: float) -> str:
    """Format seconds as m:ss or h:mm:ss."""
    total = round(seconds)
    hours, minutes = total // 3600, total // 60 % 60
    return f"{hours}:{minutes:02d}:{total % 60:02d}" if hours else f"{minutes}:{total % 60:02d}"
