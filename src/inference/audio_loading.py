"""Load what belongs to an audio model: the codec of its latents, and the image tower of its videos."""

from pathlib import Path

from src.core.errors import UserError
from src.inference.generate_audio_config import GenerateAudioConfig
from src.models.codec.model import Codec
from src.models.vision.config import FrozenVisionConfig
from src.models.vision.frozen_tower import FrozenTower
from src.runs import latents, loading
from src.runs.audio_config import AudioRunConfig
from src.streaming.schema.bucket import DataError
from src.streaming.schema.dataset_index import read_info

EXPORTED_CODEC = "codec.safetensors"


def load_codec_of(config: GenerateAudioConfig, stage: AudioRunConfig) -> Codec:
    """Load the codec that the config names, or the one that encoded the run's latents.

    Raises:
        UserError: it is unknown or not on this machine, or it is another than that of the run's latents.
    """
    run = Path(config.run)
    sibling = run.with_name(EXPORTED_CODEC)
    path = config.codec
    if not path and loading.find_export(run) and sibling.is_file():
        path = str(sibling)
    if not path:
        try:
            path = str(read_info(next(iter(stage.data.streams.values())).path).provenance["codec"])
        except (DataError, KeyError, StopIteration) as error:
            raise UserError(
                f"run={run}: its latents are not on this machine, so its codec is unknown; give codec=... "
                f"({error})"
            ) from error
    codec, key = loading.load_codec(Path(path))
    stored = loading.stored_key(run, "codec")
    if stored and stored != key:
        raise UserError(
            f"codec={path}: key {key[:12]}, but the run's latents were encoded by a codec with key "
            f"{stored[:12]}; give "
            "that one as codec=..."
        )
    return codec


def check_codec(stage: AudioRunConfig, codec: Codec, path: str) -> None:
    """Raise UserError for a codec of another rate or of other channels than the model's."""
    if codec.config.latent_rate != stage.latent_rate:
        raise UserError(
            f"codec={path}: {codec.config.latent_rate:g} latent frames per second, the model has "
            f"{stage.latent_rate:g}"
        )
    if codec.config.latent_channels != stage.transformer.latent_channels:
        raise UserError(
            f"codec={path}: {codec.config.latent_channels} latent channels, the model has "
            f"{stage.transformer.latent_channels}"
        )


def load_tower(config: GenerateAudioConfig, stage: AudioRunConfig) -> FrozenTower:
    """Load the image tower of the run's latents, or the one that the config names."""
    path = config.vision
    if not path:
        try:
            stream = next(iter(stage.data.streams.values()))
            path = str(read_info(stream.path).provenance["vision"]["path"])
        except (DataError, KeyError, StopIteration) as error:
            raise UserError(
                f"run={config.run}: its image tower is unknown; give vision=... ({error})"
            ) from error
    return latents.load_vision(FrozenVisionConfig(path=path, dim=stage.video.feature_dim))
