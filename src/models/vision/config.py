"""Configs of the encoders of video frames; imports neither torch nor transformers."""

from dataclasses import dataclass
from typing import Literal

from src.core.fields import Config, opt


@dataclass(frozen=True, kw_only=True)
class FrozenVisionConfig(Config):
    """A pretrained image tower, applied to single frames; the paper: Long-prompt MetaCLIP, 1024 features."""

    path: str = opt("", "directory of a CLIP checkpoint, as save_pretrained writes it")
    dim: int = opt(1024, "features of an image: the tower's projection", ge=1)


@dataclass(frozen=True, kw_only=True)
class VideoConditionConfig(Config):
    """Condition of audio by a video: features of its frames at the audio's times (Movie Gen, sec. 6.1)."""

    source: Literal["none", "frames", "features"] = opt(
        "frames",
        "features: of a frozen image tower, stored with the latents (the paper); frames: a small encoder of "
        "frames,"
        " trained with the transformer; none: a model of text alone",
    )
    feature_dim: int = opt(1024, "source=features: features of a frame", ge=1)
    height: int = opt(32, "source=frames: rows of the frames", ge=16)
    width: int = opt(32, "source=frames: columns of the frames", ge=16)
    channels: int = opt(32, "source=frames: channels after the first convolution; twice as many later", ge=1)
    hidden_size: int = opt(256, "features of a frame before they are projected to the transformer", ge=1)
    num_temporal_blocks: int = opt(2, "source=frames: convolutions over time", ge=0)
    initial_gate: float = opt(
        0.0, "initial gate before tanh; 0 lets nothing through at first, 1 learns sooner in runs of minutes"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.height % 8 or self.width % 8:
            raise ValueError(f"height and width must be multiples of 8, got {self.height} and {self.width}")
