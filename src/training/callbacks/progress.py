"""Progress of a training run: one line with time left, or a few plain lines in a log file."""

from typing import Any

import lightning as L
from rich.console import Console

from src.core.progress import ProgressReport
from src.training.callbacks.metrics import MetricsCallback
from src.training.modules.base import TrainingModule


class ProgressLine(L.Callback):
    """Shows steps, time left, loss and tokens per second.

    Time left comes from this session's own steps per second (validation and checkpoints included), so it is
    right after a resume.
    """

    def __init__(
        self, total: int, label: str, metrics: MetricsCallback, console: Console | None = None
    ) -> None:
        self.total, self.label, self.metrics = total, label, metrics
        self.console = console
        self._report: ProgressReport | None = None

    def on_train_start(self, trainer: L.Trainer, module: TrainingModule) -> None:
        if trainer.is_global_zero:
            self._report = ProgressReport(self.label, self.total, module.step, self.console)
            self._report.start()

    def on_train_batch_end(
        self, trainer: L.Trainer, module: TrainingModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._report is not None:
            self._report.update(module.step, self._status(module))

    def _status(self, module: TrainingModule) -> str:
        latest = self.metrics.latest
        parts = [f"loss {latest['loss']:.4f}"] if "loss" in latest else []
        if "skipped_steps" in latest:
            parts.append(f"{latest['skipped_steps']:.0f} skipped")
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
        if self._report is not None:
            self._report.stop()
            self._report = None
