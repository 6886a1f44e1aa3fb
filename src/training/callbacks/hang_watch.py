"""Callback that names the process that the others wait for."""

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
import torch

from src.training.modules.base import TrainingModule

ROOT = Path(__file__).parents[3]
CHECKS = 4  # in the time after which a hang is reported
SILENT = 3  # times that time without a word from a process


@dataclass(frozen=True)
class Report:
    """A process's word of itself: its step, and where its main thread is.

    `beat` grows as long as the process runs; `stalled_s` is the time since its last progress.
    """

    step: int
    stalled_s: float
    place: str
    waits: bool
    beat: int


class HangWatch(L.Callback):
    """Prints a line when no process has made progress for a time: which one hangs, at which step, and where.

    A thread in each process tells the others through the store of the process group. Among those with the
    smallest step the one that hangs is the one that is not inside of an exchange. The line comes from the
    first process that still runs, once for each hang; ending the run is left to the timeout of exchanges.

    Args:
        after_s: seconds without progress: a batch of training or validation, a checkpoint.
        report: prints the line; None: to standard output.
    """

    def __init__(self, after_s: float, report: Callable[[str], Any] | None = None) -> None:
        self.after_s, self.report = after_s, report or partial(print, flush=True)
        self._progress = self._step = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def on_train_start(self, trainer: L.Trainer, module: TrainingModule) -> None:
        self._advance(module)
        if trainer.world_size > 1 and self.after_s:
            store = torch.distributed.distributed_c10d._get_default_store().clone()
            watch = partial(self._watch, store, trainer.global_rank, trainer.world_size)
            self._thread = threading.Thread(target=watch, name="hang watch", daemon=True)
            self._thread.start()

    def on_train_batch_start(self, trainer: L.Trainer, module: TrainingModule, *_: Any) -> None:
        self._advance(module)

    def on_train_batch_end(self, trainer: L.Trainer, module: TrainingModule, *_: Any) -> None:
        self._advance(module)

    def on_validation_batch_end(self, trainer: L.Trainer, module: TrainingModule, *_: Any) -> None:
        self._advance(module)

    def on_save_checkpoint(self, trainer: L.Trainer, module: TrainingModule, *_: Any) -> None:
        self._advance(module)

    def teardown(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        self._end()

    def on_exception(self, trainer: L.Trainer, module: TrainingModule, exception: BaseException) -> None:
        self._end()

    def _end(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)  # longer only if the process with the store is stopped

    def _advance(self, module: TrainingModule) -> None:
        self._progress, self._step = self._progress + 1, module.step

    def _watch(self, store: Any, rank: int, world_size: int) -> None:
        """Tell the others, read what they tell, and report a hang once."""
        seen, since, reported, beat = -1, time.monotonic(), "", 0
        heard = {other: (-1, time.monotonic()) for other in range(world_size)}  # last beat, and when
        while not self._stop.wait(self.after_s / CHECKS):
            now, beat = time.monotonic(), beat + 1
            if self._progress != seen:
                seen, since, reported = self._progress, now, ""
            place, waits = locate(sys._current_frames().get(threading.main_thread().ident or 0))
            own = Report(self._step, now - since, place, waits, beat)
            try:
                store.set(f"hang_watch/{rank}", json.dumps(asdict(own)))
                keys = [f"hang_watch/{other}" for other in range(world_size)]
                if not store.check(keys):
                    continue
                reports = [Report(**json.loads(value)) for value in store.multi_get(keys)]
            except RuntimeError:  # the process with the store has left
                return
            for other, each in enumerate(reports):
                if each.beat != heard[other][0]:
                    heard[other] = (each.beat, now)
            silent = {other for other, (_, when) in heard.items() if now - when > SILENT * self.after_s}
            first = min(other for other in range(world_size) if other not in silent)
            named = name_hanging(reports, silent, self.after_s) if rank == first else ""
            if named and named != reported:
                self.report(f"no progress for {now - since:.0f} s: {named}")
                reported = named


def name_hanging(reports: Sequence[Report], silent: set[int], after_s: float) -> str:
    """Return which ranks hang, at which step and where; empty where some process makes progress.

    Args:
        silent: ranks whose threads have stopped telling: their processes are stopped or gone.
    """
    running = [each for rank, each in enumerate(reports) if rank not in silent]
    if any(each.stalled_s < after_s for each in running):
        return ""
    if silent:
        named = [f"rank {rank} has been silent since step {reports[rank].step}" for rank in sorted(silent)]
    else:
        behind = min(each.step for each in reports)
        late = [(rank, each) for rank, each in enumerate(reports) if each.step == behind]
        late = [(rank, each) for rank, each in late if not each.waits] or late
        named = [f"rank {rank} hangs at step {each.step} in {each.place}" for rank, each in late]
    return "; ".join(named)


def locate(frame: FrameType | None) -> tuple[str, bool]:
    """Return a thread's innermost place in this repository, and whether it waits in an exchange there."""
    waits, innermost = False, "an unknown place"
    if frame is not None:
        innermost = f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}"
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT) and "site-packages" not in path.parts:
            return f"{path.relative_to(ROOT)}:{frame.f_lineno} ({frame.f_code.co_name})", waits
        waits = waits or "torch/distributed" in path.as_posix()
        frame = frame.f_back
    return innermost, waits
