"""Settings of the video model's training and validation (Movie Gen, sec. 3.1); needs no torch."""

from dataclasses import dataclass

from src.core.fields import opt
from src.flow.config import SamplerConfig
from src.training.modules.flow_config import FlowConfig


@dataclass(frozen=True, kw_only=True)
class VideoFlowConfig(FlowConfig):
    """Objective, flow times, dropout of conditions, and the sampler of sample videos."""

    caption_drop_prob: float = opt(
        0.1, "probability of replacing a caption with the empty one, for guidance", ge=0, le=1
    )
    first_frame_prob: float = opt(
        0.0,
        "probability of conditioning a video on its first frame (image-to-video); always in validation",
        ge=0,
        le=1,
    )
    sampler: SamplerConfig = opt(
        SamplerConfig(guidance_scale=3.0), "sampler of sample videos during training"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objective == "v_prediction" and self.sampler.solver != "euler":
            raise ValueError(f"sampler.solver must be euler with v_prediction, got {self.sampler.solver}")
