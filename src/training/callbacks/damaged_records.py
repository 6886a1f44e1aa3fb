"""Callback that counts and names records of the data that cannot be read, and ends the run at a limit."""

from typing import Any

import lightning as L
import torch

from src.core.errors import UserError
from src.streaming.batch import Batch
from src.training.modules.base import TrainingModule


class DamagedRecordsError(UserError):
    """More records than allowed cannot be read."""


class DamagedRecords(L.Callback):
    """Prints each damaged record once in a process, and logs how many there are over all processes.

    The batch has another record in its place (`StepDataset`).

    Args:
        limit: number of records over all processes, since this start of the run, that may be damaged.
        every: steps between the moments when processes tell each other.
    """

    def __init__(self, limit: int, every: int) -> None:
        self.limit, self.every = limit, every
        self.found: dict[str, None] = {}

    def on_train_batch_start(
        self, trainer: L.Trainer, module: TrainingModule, batch: Batch, batch_idx: int
    ) -> None:
        self._note(batch)

    def on_validation_batch_start(
        self, trainer: L.Trainer, module: TrainingModule, batch: Batch, *_: Any
    ) -> None:
        self._note(batch)

    def _note(self, batch: Batch) -> None:
        for each in batch.damaged:
            if each not in self.found:
                self.found[each] = None
                print(f"left out: {each}", flush=True)

    def on_train_batch_end(self, trainer: L.Trainer, module: TrainingModule, *_: Any) -> None:
        """Count over all processes; collective.

        Raises:
            DamagedRecordsError: on every process, above the limit.
        """
        if module.step % self.every and module.step != 1:
            return
        number = len(self.found)
        if trainer.world_size > 1:
            count = torch.tensor(number, device=module.device)
            number = int(module.reduce_over_ranks(count, "sum")) // module.num_peers
        if number:
            module.host_metrics["damaged_records"] = number
        if number > self.limit:
            last = f"; one of them: {list(self.found)[-1]}" if self.found else ""
            raise DamagedRecordsError(
                f"step {module.step}: {number} records cannot be read, train.max_damaged_records={self.limit}"
                f"{last}"
            )
