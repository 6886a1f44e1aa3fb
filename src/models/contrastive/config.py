"""Config of the contrastive audio-video-text model; needs no torch."""

from dataclasses import dataclass

from src.core.fields import Config, opt
from src.models.text.config import ByteEncoderConfig
from src.models.vision.config import VideoConditionConfig


@dataclass(frozen=True, kw_only=True)
class ContrastiveConfig(Config):
    """Architecture of a `ContrastiveModel`."""

    latent_channels: int = opt(32, "channels of the codec's latents", ge=1)
    hidden_size: int = opt(192, "features of a latent frame inside the audio tower", ge=1)
    num_audio_blocks: int = opt(3, "convolutions over time in the audio tower", ge=0)
    joint_dim: int = opt(64, "features of a clip, and of each segment of it", ge=1)
    num_segments: int = opt(24, "equal parts of a clip in which audio and video are compared", ge=1)
    initial_temperature: float = opt(0.07, "initial divisor of similarities; learned", gt=0)
    text: ByteEncoderConfig = opt(ByteEncoderConfig(depth=1), "encoder of texts, trained along")
    video: VideoConditionConfig = opt(VideoConditionConfig(), "encoder of frames, trained along")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.video.source != "frames":
            raise ValueError(f"video.source={self.video.source}: the contrastive model encodes frames")
