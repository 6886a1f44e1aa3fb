"""Progress of a training run: one line with time left, or a few plain lines in a log file."""

import time
from typing import Any

import lightning as L
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from src.training.callbacks.metrics import MetricsCallback
from src.training.modules.base import TrainingModule

PLAIN_SECONDS = 30.0  # between two lines where there is no terminal


class ProgressLine(L.Callback):
    """Shows steps, time left, loss and tokens per second.

    Time left comes from this session's own steps per second (validation and checkpoints included), so it is
    right after a resume.
    """

    def __init__(
        self, total: int, label: str, metrics: MetricsCallback, console: Console | None = None
    ) -> None:
        self.total, self.label, self.metrics = total, label, metrics
        self.console = console or Console(stderr=False, highlight=False)
        self._bar: Progress | None = None

    def on_train_start(self, trainer: L.Trainer, module: TrainingModule) -> None:
        self._start_step, self._start, self._printed = module.step, time.perf_counter(), time.perf_counter()
        if not trainer.is_global_zero or not self.console.is_terminal:
            return
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left {task.fields[left]}  {task.fields[status]}"),
            console=self.console,
            transient=False,
        )
        self._task = self._bar.add_task(
            self.label, total=self.total, completed=module.step, left="-:--", status=""
        )
        self._bar.start()

    def on_train_batch_end(
        self, trainer: L.Trainer, module: TrainingModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not trainer.is_global_zero:
            return
        now = time.perf_counter()
        left = format_clock(self._seconds_left(module.step, now))
        if self._bar is not None:
            self._bar.update(self._task, completed=module.step, left=left, status=self._status(module))
        elif now - self._printed > PLAIN_SECONDS or module.step == self.total:
            self._printed = now
            text = f"{self.label} {module.step}/{self.total}  left {left}  {self._status(module)}"
            self.console.print(text, soft_wrap=True)

    def _seconds_left(self, step: int, now: float) -> float:
        return (now - self._start) / max(step - self._start_step, 1) * (self.total - step)

    def _status(self, module: TrainingModule) -> str:
        parts = [f"loss {module.metrics['loss']:.4f}"] if "loss" in module.metrics else []
        if module.val_metric in module.val_metrics:
            parts.append(f"val {module.val_metrics[module.val_metric]:.4f}")
        if self.metrics.rates:
            parts.append(f"{self.metrics.rates['tokens_per_s']:,.0f} tokens/s")
        return "  ".join(parts)

    def on_train_end(self, trainer: L.Trainer, module: TrainingModule) -> None:
        self._stop()

    def on_exception(self, trainer: L.Trainer, module: TrainingModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def format_clock(seconds: float) -> str:
    """Format seconds as m:ss or h:mm:ss."""
    total = round(seconds)
    hours, minutes = total // 3600, total // 60 % 60
    return f"{hours}:{minutes:02d}:{total % 60:02d}" if hours else f"{minutes}:{total % 60:02d}"
