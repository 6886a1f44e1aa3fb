"""Settings of flow-matching training that all media share (Movie Gen, sec. 3.1); needs no torch."""

from dataclasses import dataclass

from src.core.fields import Config, opt
from src.flow.config import Objective, TimeDistribution


@dataclass(frozen=True, kw_only=True)
class FlowConfig(Config):
    """Objective, flow times, and dropout of frozen text encoders."""

    objective: Objective = opt(
        "flow_matching", "what is predicted: flow_matching (Movie Gen) or v_prediction (its ablation)"
    )
    encoder_drop_prob: float = opt(
        0.0, "probability of dropping a frozen text encoder's embeddings, for each encoder", ge=0, le=1
    )
    time_distribution: TimeDistribution = opt(
        "logit-normal", "distribution of the flow times: logit-normal or uniform"
    )
    time_mean: float = opt(0.0, "mean of the logit of logit-normal flow times")
    time_std: float = opt(1.0, "standard deviation of the logit of logit-normal flow times", gt=0)
    sample_posterior: bool = opt(
        True, "train on samples of the posterior of TAE or codec; false: on its mean"
    )
    num_val_times: int = opt(8, "number of fixed flow times for each validation sample", ge=1)
