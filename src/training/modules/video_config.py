"""How a flow-matching model is trained, validated and looked at (paper section 3.1; spec 2)."""

from dataclasses import dataclass

from src import flow
from src.core.fields import opt
from src.flow import SamplerConfig


@dataclass(frozen=True, kw_only=True)
class FlowConfig:
    """Objective, flow times, what is dropped from the condition, and the sampler of sample films."""

    objective: flow.Objective = opt(
        "flow_matching", "what is predicted: flow_matching (the paper) or v_prediction (its ablation a)"
    )
    caption_drop: float = opt(0.1, "share of captions replaced by the empty one, for guidance")
    encoder_drop: float = opt(0.0, "share of samples that lose one frozen text encoder, for each")
    first_frame: float = opt(
        0.0, "share of films that are given their first frame (image-to-video); validation gives it to all"
    )
    times: flow.Times = opt("logit-normal", "distribution of the flow times: logit-normal or uniform")
    time_mean: float = opt(0.0, "mean of the normal behind the logit-normal flow times")
    time_std: float = opt(1.0, "standard deviation of the normal behind the logit-normal flow times")
    sample_posterior: bool = opt(True, "train on draws from the TAE's posterior; false: on its mean")
    val_times: int = opt(8, "fixed flow times of each validation sample")
    sampler: SamplerConfig = opt(SamplerConfig(guidance=3.0), "how sample films are made while training")

    def __post_init__(self) -> None:
        for name in ("caption_drop", "encoder_drop", "first_frame"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        if self.val_times < 1:
            raise ValueError(f"val_times must be at least 1, got {self.val_times}")
        if self.time_std <= 0:
            raise ValueError(f"time_std must be positive, got {self.time_std}")
        if self.objective == "v_prediction" and self.sampler.solver != "euler":
            raise ValueError(f"sampler.solver must be euler with v_prediction, got {self.sampler.solver}")
