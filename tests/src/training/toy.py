"""Tiny stand-ins for data: every sample is a function of (step, slot), shared by all training tests."""

from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.utils.data import Dataset

from src.flow import SamplerConfig
from src.models.discriminator import DiscriminatorConfig
from src.models.tae import TAEConfig
from src.models.text import ByteEncoderConfig
from src.models.transformer import TransformerConfig
from src.parallel.layout import ParallelConfig
from src.rng import generator
from src.streaming.batches import ClipBatch, LatentBatch
from src.streaming.loader import StepLoader
from src.training.config import TrainConfig
from src.training.flow_config import FlowConfig
from src.training.tae import TAEModule
from src.training.tae_losses import TAELossConfig
from src.training.video import VideoModule

WORDS = ("a red star", "a blue ring moves right", "a green square", "a star")


class ToyLatents(Dataset):
    """Image batches (every third step) and video batches of posterior moments."""

    def __init__(self, rank: int, world_size: int, batch_size: int = 4, poison: int = -1) -> None:
        self.rank, self.world_size, self.batch_size, self.poison = rank, world_size, batch_size, poison

    def __getitem__(self, step: int) -> LatentBatch:
        share = self.batch_size // self.world_size
        slots = list(range(self.rank * share, (self.rank + 1) * share))
        image = step % 3 == 2
        shape = (4, 1 if image else 2, 4, 4)
        mean = torch.stack([torch.randn(shape, generator=generator(7, "toy", step, s)) for s in slots])
        if step == self.poison:
            mean[0] = float("nan")
        return LatentBatch(
            ids=[f"film-{step}-{s}" for s in slots],
            slots=slots,
            stream="image" if image else "video",
            bucket="1x32x32" if image else "16x32x32",
            step=step,
            captions=[WORDS[(step + s) % len(WORDS)] for s in slots],
            real_B=torch.ones(len(slots), dtype=torch.bool),
            mean_BCTHW=mean,
            std_BCTHW=torch.full_like(mean, 0.1),
            fps=[16.0] * len(slots),
        )


class ToyData(L.LightningDataModule):
    """Loaders over `ToyLatents`; rank and world size are the trainer's."""

    def __init__(
        self, num_steps: int, num_workers: int = 0, poison: int = -1, validation: bool = True
    ) -> None:
        super().__init__()
        self.num_steps, self.num_workers, self.poison = num_steps, num_workers, poison
        self.validation = validation

    def _dataset(self) -> ToyLatents:
        trainer = self.trainer
        return ToyLatents(
            trainer.global_rank if trainer else 0, trainer.world_size if trainer else 1, poison=self.poison
        )

    def train_dataloader(self) -> StepLoader:
        return StepLoader(self._dataset(), self.num_steps, num_workers=self.num_workers)

    def val_dataloader(self) -> StepLoader | list:
        return StepLoader(self._dataset(), 3, restart=True) if self.validation else []


def video_module(config: TrainConfig, **transformer: Any) -> VideoModule:
    """A transformer of two blocks."""
    sizes = {"width": 32, "layers": 2, "heads": 2, "ffn": 32, "time_dim": 16, "max_positions": (4, 4, 4)}
    return VideoModule(
        TransformerConfig(**({"latent_channels": 4, "context_dim": 16} | sizes | transformer)),
        ByteEncoderConfig(width=16, layers=1, heads=2, ffn=16),
        FlowConfig(val_times=2, sampler=SamplerConfig(steps=2, guidance=2.0)),
        config,
    )


def with_films(module: VideoModule) -> VideoModule:
    """The toy's latents as four grey levels."""
    module.sample_prompts = ["a red star", "FPS-16 a ring moves"]
    module.sample_shape_CTHW = (4, 2, 4, 4)
    module.sample_frames = 5
    module.decoder = lambda z, n: z[:, :3, :1].expand(-1, -1, n, -1, -1) * torch.arange(n)[:, None, None] / n
    return module


def train_config(**changes: object) -> TrainConfig:
    """Ten steps, a checkpoint every four, a validation every five."""
    defaults = {
        "max_steps": 10,
        "lr": 1e-2,
        "warmup_steps": 2,
        "log_every": 1,
        "val_every": 5,
        "checkpoint_every": 4,
        "keep_checkpoints": 3,
        "progress": False,
        "clip": 0.5,
        "ema_decay": 0.9,
    }
    return TrainConfig(**{**defaults, **changes})  # type: ignore[arg-type]


def two_processes(**changes: object) -> ParallelConfig:
    return ParallelConfig(accelerator="cpu", devices=2, **changes)  # type: ignore[arg-type]


def state_of(path: Path) -> dict[str, torch.Tensor]:
    """The module's tensors in a checkpoint."""
    from src.parallel import storage

    return storage.read(path)["state_dict"]


class ToyClips(ToyLatents):
    """The same batches as pixels: a bright square that moves."""

    def __getitem__(self, step: int) -> ClipBatch:
        latents = super().__getitem__(step)
        frames = 1 if latents.stream == "image" else 9
        video = torch.zeros(len(latents.slots), 3, frames, 16, 16, dtype=torch.uint8)
        for i, slot in enumerate(latents.slots):
            for t in range(frames):
                x = (step + 3 * slot + t) % 10
                video[i, slot % 3, t, x : x + 6, 2:9] = 200
        common = ("ids", "slots", "stream", "bucket", "step", "captions", "real_B", "fps")
        return ClipBatch(video_BCTHW=video, **{name: getattr(latents, name) for name in common})


class ToyFilms(ToyData):
    """Loaders over `ToyClips`."""

    def _dataset(self) -> ToyClips:
        trainer = self.trainer
        return ToyClips(trainer.global_rank if trainer else 0, trainer.world_size if trainer else 1)


def tae_module(config: TrainConfig, tae: TAEConfig | None = None, **losses: Any) -> TAEModule:
    """A narrow autoencoder, with a discriminator from step 3 on unless told otherwise."""
    return TAEModule(
        tae or TAEConfig(widths=(4, 8, 8, 8), blocks=1, latent_channels=4, norm_groups=4),
        TAELossConfig(**{"adversarial": 0.5, "adversarial_start": 3, "outlier": 10.0} | losses),
        config,
        DiscriminatorConfig(kind="3d", width=4, layers=2),
    )
