"""Settings of flow-matching training and its validation (Movie Gen, sec. 3.1); needs no torch."""

from dataclasses import dataclass

from src.core.fields import Config, opt
from src.flow.config import Objective, SamplerConfig, TimeDistribution


@dataclass(frozen=True, kw_only=True)
class FlowConfig(Config):
    """Objective, flow times, dropout of conditions, and the sampler of sample videos."""

    objective: Objective = opt(
        "flow_matching", "what is predicted: flow_matching (Movie Gen) or v_prediction (its ablation)"
    )
    caption_drop_prob: float = opt(
        0.1, "probability of replacing a caption with the empty one, for guidance", ge=0, le=1
    )
    encoder_drop_prob: float = opt(
        0.0, "probability of dropping a frozen text encoder's embeddings, for each encoder", ge=0, le=1
    )
    first_frame_prob: float = opt(
        0.0,
        "probability of conditioning a video on its first frame (image-to-video); always in validation",
        ge=0,
        le=1,
    )
    time_distribution: TimeDistribution = opt(
        "logit-normal", "distribution of the flow times: logit-normal or uniform"
    )
    time_mean: float = opt(0.0, "mean of the logit of logit-normal flow times")
    time_std: float = opt(1.0, "standard deviation of the logit of logit-normal flow times", gt=0)
    sample_posterior: bool = opt(True, "train on samples of the TAE's posterior; false: on its mean")
    num_val_times: int = opt(8, "number of fixed flow times for each validation sample", ge=1)
    sampler: SamplerConfig = opt(
        SamplerConfig(guidance_scale=3.0), "sampler of sample videos during training"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objective == "v_prediction" and self.sampler.solver != "euler":
            raise ValueError(f"sampler.solver must be euler with v_prediction, got {self.sampler.solver}")
