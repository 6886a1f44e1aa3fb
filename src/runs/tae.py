"""Train a temporal autoencoder on prepared films and pictures (paper section 3.1.1; spec, section 1)."""

import json
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from src.core.errors import UserError
from src.core.fields import opt
from src.models.discriminator import DiscriminatorConfig
from src.models.perceptual_features import FeaturesConfig, build
from src.models.tae import TAEConfig
from src.models.tae.diffusers import check_same_pictures, config_of
from src.parallel.safetensors_io import SUFFIX, header_of
from src.runs import run_directory
from src.streaming.datamodule import DataConfig, MediaData
from src.training.config import TrainConfig, Use
from src.training.modules.tae import TAEModule
from src.training.modules.tae_config import TAELossConfig
from src.training.trainer import Start, fit


@dataclass(frozen=True, kw_only=True)
class Config:
    """One run."""

    experiment: str = opt("tae", "kind of run")
    name: str = opt("???", "what the run is called")
    run_dir: str = opt("runs/${name}", "where checkpoints and curves go")
    start_from: str = opt(
        "",
        "run, checkpoint, exported file, or .safetensors of a diffusers AutoencoderKL (config.json beside "
        "it) whose weights this run starts from; empty: from nothing",
    )
    start_use: Use = opt("ema", "which of its weights: ema or raw")
    dataset: str = opt("", "prepared data set, for ${dataset} in the paths of streams")
    model: TAEConfig = opt(TAEConfig(), "the autoencoder")
    losses: TAELossConfig = opt(TAELossConfig(), "terms of the loss")
    discriminator: DiscriminatorConfig = opt(DiscriminatorConfig(), "used where losses.adversarial is not 0")
    features: FeaturesConfig = opt(FeaturesConfig(), "used where losses.perceptual is not 0")
    data: DataConfig = opt(DataConfig(), "streams of pixels")
    train: TrainConfig = opt(TrainConfig(), "steps and optimiser")


def run(config: Config) -> None:
    """Train to the end; resumes by itself."""
    run_dir = Path(config.run_dir)
    with run_directory.opened(run_dir, config):
        features = build(config.features) if config.losses.perceptual else None
        module = TAEModule(config.model, config.losses, config.train, config.discriminator, features)
        data = MediaData(config.data, config.train.seed, num_steps=config.train.max_steps)
        if run_directory.is_first_rank():
            Console(highlight=False).print(data.report())
        if config.start_from:
            check_image(Path(config.start_from), config.model)
        start = Start(Path(config.start_from), config.start_use) if config.start_from else None
        fit(module, data, config.train, run_dir, start=start, label=config.name)


def check_image(weights: Path, model: TAEConfig) -> None:
    """Compare a diffusers autoencoder's config.json, where there is one, with the model to start from it.

    Raises:
        UserError: it is no JSON, of another kind, or treats pictures otherwise.
    """
    path = weights.parent / "config.json"
    if weights.suffix != SUFFIX or not path.is_file() or header_of(weights) is not None:
        return
    try:
        check_same_pictures(model, config_of(json.loads(path.read_text(encoding="utf-8"))))
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"start_from={weights}: {path.name}: {error}") from error
