"""Metrics, throughput and sample films, written while training."""

import io
import time
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from torch import Tensor

from src.training.modules.base import TrainingModule


class Monitor(L.Callback):
    """Writes the module's metrics, the learning rate and the throughput every `every` steps.

    Throughput counts whole steps with their waiting for data; validation and saving are left out.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.rates: dict[str, float] = {}
        self._mark = 0.0
        self._restart()

    def _restart(self) -> None:
        self._seconds, self._samples, self._tokens, self._steps = 0.0, 0, 0, 0

    def on_train_start(self, trainer: L.Trainer, module: TrainingModule) -> None:
        self._mark = time.perf_counter()

    def on_train_batch_start(
        self, trainer: L.Trainer, module: TrainingModule, batch: Any, batch_idx: int
    ) -> None:
        if not self._mark:  # something else went on since the last step
            self._mark = time.perf_counter()

    def on_save_checkpoint(self, trainer: L.Trainer, module: TrainingModule, checkpoint: Any) -> None:
        self._mark = 0.0

    def on_validation_start(self, trainer: L.Trainer, module: TrainingModule) -> None:
        self._mark = 0.0

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
            self._write(trainer, module)

    def _write(self, trainer: L.Trainer, module: TrainingModule) -> None:
        counts = torch.tensor([self._samples, self._tokens], device=module.device)
        samples, tokens = module.across_processes(counts, "sum").tolist()  # ranks of packed batches differ
        self.rates = {
            "samples_per_s": samples / self._seconds,
            "tokens_per_s": tokens / self._seconds,
            "seconds_per_step": self._seconds / self._steps,
        }
        self._restart()
        lr = trainer.optimizers[0].param_groups[0]["lr"]
        rates = {f"speed/{name}": value for name, value in self.rates.items()}
        log(trainer, {**module.metrics, "lr": lr, **rates}, module.step)

    def on_validation_end(self, trainer: L.Trainer, module: TrainingModule) -> None:
        if trainer.state.fn == "fit":
            log(trainer, module.val_metrics, module.step)


class Films(L.Callback):
    """Sample films into TensorBoard, as animations, every `every` steps and after the last one.

    All processes make them together (a sharded network needs everyone); the first one writes.
    """

    def __init__(self, every: int, last_step: int, fps: float = 8.0) -> None:
        self.every, self.last_step, self.fps = every, last_step, fps

    def on_train_batch_end(
        self, trainer: L.Trainer, module: TrainingModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if module.step % self.every and module.step != self.last_step:
            return
        films = module.films()  # type: ignore[operator]
        for number, (title, film_TCHW) in enumerate(films.items()):
            write_film(trainer, f"films/{number:02d} {title[:60]}", film_TCHW, module.step, self.fps)


def log(trainer: L.Trainer, metrics: dict[str, float], step: int) -> None:
    """To every logger of the first process."""
    for logger in trainer.loggers:
        logger.log_metrics(metrics, step)


def write_film(trainer: L.Trainer, tag: str, film_TCHW: Tensor, step: int, fps: float) -> None:
    """One film as an animated GIF, which TensorBoard plays in its image tab."""
    if not trainer.is_global_zero:
        return
    from tensorboard.compat.proto.summary_pb2 import Summary

    height, width = film_TCHW.shape[2:]
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=gif(film_TCHW, fps))
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            writer = logger.experiment._get_file_writer()
            writer.add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)


def gif(film_TCHW: Tensor, fps: float) -> bytes:
    """A looping animated GIF (a still picture for one frame) of uint8 frames [T, 3, H, W]."""
    assert film_TCHW.dtype == torch.uint8, film_TCHW.dtype
    frames = [Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in film_TCHW.cpu()]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=round(1000 / fps), loop=0)
    return buffer.getvalue()
