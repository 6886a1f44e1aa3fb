"""Checkpoint and exit code for requeueing when a scheduler sends SIGTERM or SIGUSR1."""

import signal
import threading
from typing import Any

import torch

from src.training.modules.base import TrainingModule

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
REQUEUE_EXIT_CODE = 75  # EX_TEMPFAIL: the same command resumes


class PreemptionSignals:
    """Notes the signals of this process; `stops` says when all processes end together.

    Args:
        every: steps between the moments when processes tell each other, which makes them wait.
    """

    def __init__(self, every: int) -> None:
        self.every, self.received = every, False
        self._before: dict[signal.Signals, Any] = {}

    def install(self) -> None:
        """Replace the handlers of this process, Lightning's own requeueing among them."""
        if threading.current_thread() is threading.main_thread():
            self._before = {each: signal.signal(each, self._receive) for each in SIGNALS}

    def uninstall(self) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)
        self._before = {}

    def _receive(self, number: int, frame: Any) -> None:
        self.received = True

    def stops(self, module: TrainingModule, world_size: int) -> bool:
        """Return whether any process has had a signal; collective every few steps."""
        if world_size == 1:
            return self.received
        if module.step % self.every:
            return False
        flag = torch.tensor(float(self.received), device=module.device)
        return bool(module.reduce_over_ranks(flag, "sum") > 0)
