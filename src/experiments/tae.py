"""Train a temporal autoencoder on prepared videos and images (Movie Gen, sec. 3.1.1)."""

import json
from pathlib import Path

from rich.console import Console

from src.core.errors import UserError
from src.core.launch import is_first_rank
from src.models.perceptual_features import build_perceptual_loss
from src.models.tae.config import TAEConfig
from src.models.tae.diffusers import check_same_image_model, config_from_diffusers
from src.parallel.safetensors_io import SUFFIX, find_header
from src.runs import run_directory
from src.runs.config import TAERunConfig
from src.streaming.datamodule import MediaDataModule
from src.training.callbacks.samples import ReconstructionVideos
from src.training.init_weights import InitFrom
from src.training.modules.tae import TAEModule
from src.training.trainer import fit


def run(config: TAERunConfig) -> None:
    """Train to the end; resumes from the newest checkpoint."""
    run_dir = Path(config.run_dir)
    with run_directory.locked_run_dir(run_dir, config):
        features = build_perceptual_loss(config.features) if config.losses.perceptual_weight else None
        module = TAEModule(config.model, config.losses, config.train, config.discriminator, features)
        data = MediaDataModule(config.data, config.train.seed, num_steps=config.train.max_steps)
        if is_first_rank():
            Console(highlight=False).print(data.report())
        if config.start_from:
            check_image_autoencoder(Path(config.start_from), config.model)
        init_from = InitFrom(Path(config.start_from), config.start_use) if config.start_from else None
        c, callbacks = config.train, []
        if c.sample_every:
            callbacks.append(ReconstructionVideos(every=c.sample_every, last_step=c.max_steps))
        fit(module, data, c, run_dir, init_from=init_from, label=config.name, callbacks=callbacks)


def check_image_autoencoder(weights: Path, model: TAEConfig) -> None:
    """Compare a diffusers autoencoder's config.json, where there is one, with the model to start from it.

    Raises:
        UserError: it is not JSON, of another kind, or its architecture for images differs.
    """
    path = weights.parent / "config.json"
    if weights.suffix != SUFFIX or not path.is_file() or find_header(weights) is not None:
        return
    try:
        check_same_image_model(model, config_from_diffusers(json.loads(path.read_text(encoding="utf-8"))))
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"start_from={weights}: {path.name}: {error}") from error
