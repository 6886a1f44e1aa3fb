"""Callbacks that write sample videos to TensorBoard while training.

Legend: B batch, C channels, T frames, H height, W width.
"""

from collections.abc import Callable
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from src.core.media_io.preview_writer import encode_preview
from src.streaming.batch import ClipBatch
from src.streaming.pixels import to_uint8
from src.training.callbacks.metrics import pause_clocks
from src.training.modules.tae import TAEModule
from src.training.modules.video import VideoModule
from src.training.modules.video_model import VideoModel

Shape = tuple[int, int, int, int]
NUM_RECONSTRUCTIONS = 4


class SampleVideos(L.Callback):
    """Samples videos of fixed prompts and seeds every `every` steps and after the last one.

    All processes sample together (a sharded network needs all of them); the first one writes.

    Args:
        sample: (model, prompts, shape of one latent, seeds) -> latents [B, C, T, H, W].
        decode: (latents, number of frames) -> videos [B, 3, T, H, W] in [-1, 1].
        shape_CTHW: shape of one latent.
    """

    def __init__(
        self,
        sample: Callable[[VideoModel, list[str], Shape, list[int]], Tensor],
        decode: Callable[[Tensor, int], Tensor],
        prompts: list[str],
        shape_CTHW: Shape,
        *,
        num_frames: int,
        every: int,
        last_step: int,
        fps: float = 8.0,
    ) -> None:
        self.sample, self.decode = sample, decode
        self.prompts, self.shape_CTHW, self.num_frames = prompts, shape_CTHW, num_frames
        self.every, self.last_step, self.fps = every, last_step, fps

    def on_train_batch_end(
        self, trainer: L.Trainer, module: VideoModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if module.step % self.every and module.step != self.last_step:
            return
        seeds = list(range(len(self.prompts)))
        latents = self.sample(module.model(ema=True), self.prompts, self.shape_CTHW, seeds)
        if not trainer.is_global_zero:
            pause_clocks(trainer)
            return
        videos = to_uint8(self.decode(latents, self.num_frames)).transpose(1, 2).cpu()
        titled = dict(zip(self.prompts, videos, strict=True))
        write_videos(trainer, "samples", titled, module.step, self.fps)


class ReconstructionVideos(L.Callback):
    """Shows originals (left) and the TAE's reconstructions, from the latest validation."""

    def __init__(self, *, every: int, last_step: int, fps: float = 8.0) -> None:
        self.every, self.last_step, self.fps = every, last_step, fps
        self.pairs_BCTHW: Tensor | None = None

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        module: TAEModule,
        outputs: Any,
        batch: ClipBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the first batch; `outputs` are its reconstructions, as `validation_step` returns them."""
        if batch_idx == 0:
            videos = batch.pixels()[:NUM_RECONSTRUCTIONS]
            self.pairs_BCTHW = torch.cat([videos, outputs[:NUM_RECONSTRUCTIONS]], dim=4)

    def on_train_batch_end(
        self, trainer: L.Trainer, module: TAEModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.pairs_BCTHW is None or (module.step % self.every and module.step != self.last_step):
            return
        pairs = to_uint8(self.pairs_BCTHW).transpose(1, 2).cpu()
        videos = {f"original, reconstruction {index}": pair for index, pair in enumerate(pairs)}
        write_videos(trainer, "reconstructions", videos, module.step, self.fps)


def write_videos(
    trainer: L.Trainer, group: str, videos_TCHW: dict[str, Tensor], step: int, fps: float
) -> None:
    """Write uint8 videos [T, 3, H, W] by title as animated GIFs, which TensorBoard plays in its image tab."""
    pause_clocks(trainer)
    if not trainer.is_global_zero:
        return
    # part of TensorBoard's writer, which is imported only where videos are written
    from tensorboard.compat.proto.summary_pb2 import Summary

    for index, (title, video_TCHW) in enumerate(videos_TCHW.items()):
        height, width = video_TCHW.shape[2:]
        image = Summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=encode_gif(video_TCHW, fps)
        )
        value = Summary.Value(tag=f"{group}/{index:02d} {title[:60]}", image=image)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment._get_file_writer().add_summary(Summary(value=[value]), step)


def encode_gif(video_TCHW: Tensor, fps: float) -> bytes:
    """Encode uint8 frames [T, 3, H, W] as a looping animated GIF (a still image for one frame)."""
    assert video_TCHW.dtype == torch.uint8, video_TCHW.dtype
    return encode_preview(video_TCHW.cpu().permute(0, 2, 3, 1).numpy(), fps)
