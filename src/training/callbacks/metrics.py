"""Callback that logs metrics, learning rate and throughput."""

import time
from typing import Any

import lightning as L
import torch

from src.training.modules.base import TrainingModule


class MetricsCallback(L.Callback):
    """Logs the module's metrics, the learning rate and the throughput every `every` steps.

    Throughput counts complete steps with their waiting for data; validation, checkpoints and sample videos
    are left out.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.rates: dict[str, float] = {}  # of the latest logged steps, over all processes
        self.latest: dict[str, float] = {}  # the metrics that were logged last
        self._mark = 0.0  # when the current step began; 0: after a pause, at its first batch
        self._reset()

    def _reset(self) -> None:
        self._seconds, self._samples, self._tokens, self._steps = 0.0, 0, 0, 0

    def pause(self) -> None:
        """Stop the clock until the next batch is there."""
        self._mark = 0.0

    def on_train_start(self, trainer: L.Trainer, module: TrainingModule) -> None:
        self._mark = time.perf_counter()

    def on_train_batch_start(
        self, trainer: L.Trainer, module: TrainingModule, batch: Any, batch_idx: int
    ) -> None:
        if not self._mark:
            self._mark = time.perf_counter()

    def on_save_checkpoint(self, trainer: L.Trainer, module: TrainingModule, checkpoint: Any) -> None:
        self.pause()

    def on_validation_start(self, trainer: L.Trainer, module: TrainingModule) -> None:
        self.pause()

    def on_train_batch_end(
        self, trainer: L.Trainer, module: TrainingModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        self._seconds += now - self._mark
        self._mark = now
        size = module.batch_size(batch)
        self._samples += size.samples
        self._tokens += size.tokens
        self._steps += 1
        if module.step % self.every == 0 or module.step == 1:
            self._log(trainer, module)

    def _log(self, trainer: L.Trainer, module: TrainingModule) -> None:
        counts = torch.tensor([self._samples, self._tokens], device=module.device)
        # a sum and not a multiple of this rank's: with packed batches ranks have different numbers of samples
        samples, tokens = (module.reduce_over_ranks(counts, "sum") // module.num_peers).tolist()
        self.rates = {
            "samples_per_s": samples / self._seconds,
            "tokens_per_s": tokens / self._seconds,
            "seconds_per_step": self._seconds / self._steps,
        }
        self._reset()
        self.latest = {**module.latest_metrics(), "lr": trainer.optimizers[0].param_groups[0]["lr"]}
        train = {f"train/{name}": value for name, value in self.latest.items()}
        speed = {f"speed/{name}": value for name, value in self.rates.items()}
        _log_metrics(trainer, {**train, **speed}, module.step)

    def on_validation_end(self, trainer: L.Trainer, module: TrainingModule) -> None:
        if trainer.state.fn == "fit":
            _log_metrics(trainer, module.val_metrics, module.step)


def pause_clocks(trainer: L.Trainer) -> None:
    """Leave what comes before the next batch out of the throughput."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # lightning does not declare it
        if isinstance(callback, MetricsCallback):
            callback.pause()


def _log_metrics(trainer: L.Trainer, metrics: dict[str, float], step: int) -> None:
    for logger in trainer.loggers:  # they write on the first rank only
        logger.log_metrics(metrics, step)
