"""Settings of the audio model's training, validation and sampling (Movie Gen, sec. 6.1); needs no torch."""

from dataclasses import dataclass
from typing import Literal

from src.core.fields import Config, opt
from src.flow.config import SamplerConfig
from src.training.modules.flow_config import FlowConfig

ContextKind = Literal["none", "prefix", "suffix", "ends", "span"]
VideoKind = Literal["own", "none", "other", "cut"]
CONTEXT_KINDS: tuple[ContextKind, ...] = ("prefix", "suffix", "ends", "span")


@dataclass(frozen=True, kw_only=True)
class ModeConfig(Config):
    """One use of the audio model: which conditions it has, and which part of the audio is known."""

    video: VideoKind = opt(
        "own",
        "video that conditions: its own; none; of another clip (a control); cut: of another clip where "
        "audio is known",
    )
    text: bool = opt(True, "whether the caption conditions")
    context: ContextKind = opt(
        "none",
        "known audio: none, a prefix, a suffix, both ends, or a span in the middle; the rest is generated",
    )
    context_fraction: float = opt(0.25, "known fraction of the audio", gt=0, lt=1)
    start_s: float = opt(
        0.0, "context=ends: beginning of what is generated; with stop_s instead of the fraction", ge=0
    )
    stop_s: float = opt(0.0, "context=ends: its end in seconds; 0: by context_fraction", ge=0)
    is_control: bool = opt(
        False, "a control, which counts neither in val/loss nor in the losses of flow times"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stop_s and (self.context != "ends" or self.stop_s <= self.start_s):
            raise ValueError(
                f"start_s={self.start_s} and stop_s={self.stop_s} need context=ends and start_s below stop_s"
            )
        if self.video == "cut" and self.context == "none":
            raise ValueError("video=cut needs a context: without one there is no cut")


@dataclass(frozen=True, kw_only=True)
class AudioSamplerConfig(SamplerConfig):
    """Solver, schedule and guidance of audio; the paper: midpoint, 64 steps, guidance 3 (Movie Gen, sec.
    6.1).
    """

    guidance_scale: float = opt(
        3.0, "scale of classifier-free guidance by all conditions; 1 turns it off", ge=0
    )
    video_guidance_scale: float | None = opt(
        None,
        "null: text and video are guided together; else the video's scale, and guidance_scale that of text "
        "given the"
        " video, with three evaluations instead of two",
        ge=0,
    )


@dataclass(frozen=True, kw_only=True)
class AudioFlowConfig(FlowConfig):
    """Objective, masks of the known audio, dropout of conditions, side loss, and the sampler."""

    full_mask_prob: float = opt(
        0.5,
        "probability that no audio is known: pure generation; else it is extended or filled in",
        ge=0,
        le=1,
    )
    min_mask_fraction: float = opt(
        0.75, "smallest fraction of the audio to generate in the other case", gt=0, le=1
    )
    context_kinds: tuple[str, ...] = opt(
        CONTEXT_KINDS, "what is known in the other case, equally likely: prefix, suffix, ends, span"
    )
    loss_region: Literal["masked", "all"] = opt(
        "masked", "where the error counts: where audio is generated, or all"
    )
    joint_drop_prob: float = opt(
        0.2, "probability of dropping text, video and known audio together", ge=0, le=1
    )
    text_drop_prob: float = opt(0.1, "probability of dropping the text alone", ge=0, le=1)
    video_drop_prob: float = opt(0.1, "probability of dropping the video alone", ge=0, le=1)
    frame_augmentation: Literal["none", "flips", "transpositions"] = opt(
        "none", "of the frames while training: mirrored, or mirrored and transposed, the audio unchanged"
    )
    video_latent_weight: float = opt(
        0.0,
        "weight of a side loss: the latent predicted from the video's features alone; not in the paper",
        ge=0,
    )
    sampler: AudioSamplerConfig = opt(AudioSamplerConfig(), "sampler of audio")

    def __post_init__(self) -> None:
        super().__post_init__()
        for kind in self.context_kinds:
            if kind not in CONTEXT_KINDS:
                raise ValueError(f"context_kinds: {kind!r} is none of {', '.join(CONTEXT_KINDS)}")
        if not self.context_kinds and self.full_mask_prob < 1:
            raise ValueError(f"context_kinds is empty, full_mask_prob={self.full_mask_prob} must be 1 then")
