"""Build the Lightning module of a run from its config."""

from src.runs.config import VideoRunConfig
from src.training.modules.video import VideoModule


def build_video_module(config: VideoRunConfig) -> VideoModule:
    """Return the module of a stage; Lightning or `configure_model` builds its networks."""
    return VideoModule(config.transformer, config.text, config.flow, config.train, config.encoders)
