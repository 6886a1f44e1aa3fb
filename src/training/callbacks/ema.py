"""Callbacks that update the EMA of the weights and validate after the last step."""

from typing import Any

import lightning as L

from src.training.modules.base import TrainingModule


class EMACallback(L.Callback):
    """Updates the EMA after every batch.

    A callback and not the module's own hook: Lightning runs checkpoint callbacks before the module's hooks,
    so a checkpoint would contain an EMA that is one step old.
    """

    def on_train_batch_end(
        self, trainer: L.Trainer, module: TrainingModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        module.update_ema()


class ValidateLastStep(L.Callback):
    """Makes Lightning validate after the last step too, for any `val_every`."""

    def __init__(self, last_step: int) -> None:
        self.last_step = last_step

    def on_train_batch_end(
        self, trainer: L.Trainer, module: TrainingModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if module.step == self.last_step:
            trainer.val_check_batch = self.last_step
