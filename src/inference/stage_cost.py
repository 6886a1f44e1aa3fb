"""Parameters, tokens and FLOPs of a video stage, from its config alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from rich.table import Table

from src.core.errors import UserError
from src.inference.run_defaults import stream_buckets
from src.models.text.byte_encoder import ByteEncoder
from src.models.text.projection import ProjectedText
from src.models.transformer.flops import parameters_by_part, training_flops
from src.models.transformer.model import MediaTransformer
from src.models.vision.video_condition import VideoCondition
from src.runs.audio_config import AudioRunConfig
from src.runs.config import VideoRunConfig
from src.streaming.schema.bucket import Bucket

FlowStage = VideoRunConfig | AudioRunConfig


@dataclass(frozen=True)
class StepCost:
    """One training step on one bucket."""

    stream: str
    bucket: str
    num_samples: int
    tokens_per_sample: int
    flops: int  # of the step

    @property
    def tokens(self) -> int:
        return self.num_samples * self.tokens_per_sample


def count_parameters(stage: FlowStage) -> dict[str, int]:
    """Return the number of trained parameters by part: the transformer's, and those of its conditions."""
    with torch.device("meta"):
        counts = parameters_by_part(MediaTransformer(stage.transformer))
        text = (
            ProjectedText(stage.encoders, stage.transformer.context_dim)
            if stage.encoders
            else ByteEncoder(stage.text)
        )
        counts["text"] = sum(p.numel() for p in text.parameters())
        if isinstance(stage, AudioRunConfig) and stage.video.source != "none":
            channels = stage.transformer.latent_channels if stage.flow.video_latent_weight else 0
            video = VideoCondition(stage.video, stage.transformer.hidden_size, channels)
            counts["video"] = sum(p.numel() for p in video.parameters())
    return counts


def max_text_tokens(stage: FlowStage) -> int:
    """Return the maximum number of text tokens that cross-attention reads."""
    if stage.encoders:
        return 1 + sum(encoder.max_tokens for encoder in stage.encoders.values())  # 1: the null token
    return stage.text.max_tokens


def step_costs(stage: FlowStage) -> Iterator[StepCost]:
    """Yield the cost of a step for every bucket of every stream; audio's are its lengths in latent frames.

    Raises:
        UserError: a token budget below one sample, or a bucket beyond the position tables.
    """
    for name, stream in sorted(stage.data.streams.items()):
        audio = isinstance(stage, AudioRunConfig)
        token_size = (1, 1, 1) if audio else stage.data.token_size
        buckets = [Bucket(length, 1, 1) for length in stream.lengths] if audio else stream_buckets(stream)
        for bucket in buckets:
            _check_positions(stage, bucket, token_size)
            tokens = bucket.num_tokens(token_size)
            num_samples = stream.num_samples(bucket, token_size)
            flops = num_samples * training_flops(stage.transformer, tokens, max_text_tokens(stage))
            yield StepCost(name, bucket.name, num_samples, tokens, flops)


def _check_positions(stage: FlowStage, bucket: Bucket, token_size: tuple[int, int, int]) -> None:
    sizes = (bucket.num_frames, bucket.height, bucket.width)
    axes = zip("THW", sizes, token_size, stage.transformer.max_positions, strict=True)
    for axis, size, token_size, max_positions in axes:
        needed = -(-size // token_size)
        if needed > max_positions:
            raise UserError(
                f"transformer.max_positions: bucket {bucket.name} needs {needed} along {axis}, "
                f"got {max_positions}"
            )


def parameter_table(stage: VideoRunConfig) -> Table:
    """Return a table of parameters by part with their fraction of all."""
    table = Table("part", "parameters", "fraction", title=f"{stage.name}: trained parameters")
    counts = count_parameters(stage)
    total = sum(counts.values())
    for part, count in [*counts.items(), ("total", total)]:
        table.add_row(part, f"{count:,}", f"{count / total:.1%}")
    return table


def step_table(stage: VideoRunConfig, costs: list[StepCost]) -> Table:
    """Return a table of tokens and FLOPs per step by bucket; the total assumes equally likely buckets."""
    columns = ("stream", "bucket", "samples", "tokens each", "tokens/step", "FLOPs/step")
    title = f"{stage.train.max_steps:,} steps, text of {max_text_tokens(stage)} tokens"
    table = Table(*columns, title=title)
    for cost in costs:
        counts = (f"{cost.num_samples:,}", f"{cost.tokens_per_sample:,}", f"{cost.tokens:,}")
        table.add_row(cost.stream, cost.bucket, *counts, f"{cost.flops:.2e}")
    if not costs:
        table.caption = "no buckets in the config and no data set found: give data.streams.NAME.buckets"
        return table
    weights = {name: stream.weight for name, stream in stage.data.streams.items()}
    total_flops = total_tokens = 0.0
    for name in {cost.stream for cost in costs}:
        stream_costs = [cost for cost in costs if cost.stream == name]
        steps_per_bucket = weights[name] / sum(weights.values()) * stage.train.max_steps / len(stream_costs)
        total_flops += steps_per_bucket * sum(cost.flops for cost in stream_costs)
        total_tokens += steps_per_bucket * sum(cost.tokens for cost in stream_costs)
    table.add_row("stage", "total", "", "", f"{total_tokens:.2e}", f"{total_flops:.2e}")
    return table
