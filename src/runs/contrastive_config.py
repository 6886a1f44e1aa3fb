"""Config of training runs of the contrastive model; importing it needs neither torch nor Lightning."""

from dataclasses import dataclass

from src.core.fields import Config, opt
from src.models.contrastive.config import ContrastiveConfig
from src.streaming.config import DataConfig
from src.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class ContrastiveRunConfig(Config):
    """A contrastive audio-video-text model (the paper's CAVTP)."""

    experiment: str = opt("contrastive", "kind of run")
    name: str = opt("???", "name of the run")
    run_dir: str = opt("runs/${name}", "directory for checkpoints and metrics")
    latents: str = opt("???", "run directory of encoded audio with frames of its videos")
    model: ContrastiveConfig = opt(ContrastiveConfig(), "architecture")
    data: DataConfig = opt(DataConfig(), "streams of audio latents; lengths are in latent frames")
    train: TrainConfig = opt(TrainConfig(), "steps and optimizer")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.train.sample_every:
            raise ValueError(f"train.sample_every={self.train.sample_every}: nothing can be sampled")
