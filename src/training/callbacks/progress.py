"""What a person sees while a model trains: one line with time left, or a few plain lines in a log file."""

import time
from typing import Any

import lightning as L
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from src.training.callbacks.metrics import Monitor
from src.training.modules.base import TrainingModule

PLAIN_SECONDS = 30.0  # between two lines where there is no terminal


class ProgressLine(L.Callback):
    """Steps, time left, loss and tokens per second.

    Time left comes from this session's own steps per second (validation and saving included), so it
    is right after a resume.
    """

    def __init__(self, total: int, label: str, monitor: Monitor, console: Console | None = None) -> None:
        self.total, self.label, self.monitor = total, label, monitor
        self.console = console or Console(stderr=False, highlight=False)
        self._bar: Progress | None = None

    def on_train_start(self, trainer: L.Trainer, module: TrainingModule) -> None:
        self._first, self._began, self._printed = module.step, time.perf_counter(), time.perf_counter()
        if not trainer.is_global_zero or not self.console.is_terminal:
            return
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left {task.fields[left]}  {task.fields[words]}"),
            console=self.console,
            transient=False,
        )
        self._task = self._bar.add_task(
            self.label, total=self.total, completed=module.step, left="-:--", words=""
        )
        self._bar.start()

    def on_train_batch_end(
        self, trainer: L.Trainer, module: TrainingModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not trainer.is_global_zero:
            return
        now = time.perf_counter()
        left = clock(self._seconds_left(module.step, now))
        if self._bar is not None:
            self._bar.update(self._task, completed=module.step, left=left, words=self._words(module))
        elif now - self._printed > PLAIN_SECONDS or module.step == self.total:
            self._printed = now
            text = f"{self.label} {module.step}/{self.total}  left {left}  {self._words(module)}"
            self.console.print(text, soft_wrap=True)

    def _seconds_left(self, step: int, now: float) -> float:
        return (now - self._began) / max(step - self._first, 1) * (self.total - step)

    def _words(self, module: TrainingModule) -> str:
        words = [f"loss {module.metrics['loss']:.4f}"] if "loss" in module.metrics else []
        if module.val_metric in module.val_metrics:
            words.append(f"val {module.val_metrics[module.val_metric]:.4f}")
        if self.monitor.rates:
            words.append(f"{self.monitor.rates['tokens_per_s']:,.0f} tokens/s")
        return "  ".join(words)

    def on_train_end(self, trainer: L.Trainer, module: TrainingModule) -> None:
        self._stop()

    def on_exception(self, trainer: L.Trainer, module: TrainingModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def clock(seconds: float) -> str:
    """m:ss, or h:mm:ss."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
