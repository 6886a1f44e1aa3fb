"""Build the Lightning module of a run from its config."""

from src.runs.audio_config import AudioRunConfig
from src.runs.config import VideoRunConfig
from src.training.modules.audio import AudioModule
from src.training.modules.video import VideoModule


def build_video_module(config: VideoRunConfig) -> VideoModule:
    """Return the module of a stage; Lightning or `configure_model` builds its networks."""
    return VideoModule(config.transformer, config.text, config.flow, config.train, config.encoders)


def build_audio_module(config: AudioRunConfig) -> AudioModule:
    """Return the module of a stage; Lightning or `configure_model` builds its networks."""
    return AudioModule(
        config.transformer,
        config.text,
        config.video,
        config.flow,
        config.train,
        config.latent_rate,
        config.modes,
        config.encoders,
    )
