"""What a video stage costs before it is run: `python -m src.model_summary CONFIG.yaml [...] [key=value ...]`.

Parameters by part (counted on the meta device), then tokens and operations of a training step for each
bucket. Buckets are those that the config names, or else those of its data sets. Text counts at its longest.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from src.core import cli, config
from src.core.errors import UserError
from src.experiments import experiment
from src.models.text.byte_encoder import ByteEncoder
from src.models.text.projection import ProjectedText
from src.models.transformer.flops import parameters_by_part, training_flops
from src.models.transformer.model import MediaTransformer
from src.runs import video
from src.streaming.datamodule import StreamConfig
from src.streaming.schema.bucket import Bucket
from src.streaming.schema.dataset_index import read_info


@dataclass(frozen=True)
class StepCost:
    """One training step on one bucket."""

    stream: str
    bucket: str
    samples: int
    tokens: int  # of one sample
    flops: int  # of the step


def main(argv: list[str]) -> None:
    """Parse, count, print."""
    arguments = config.parse_arguments(argv)
    if arguments.help or not arguments.configs:
        print((__doc__ or "").strip())
        return
    tree = config.read(arguments.configs, arguments.overrides)
    if tree.get("experiment") != "video":
        kind = tree.get("experiment") or "no experiment"
        raise UserError(f"{kind}: only a video stage can be inspected, such as configs/paper/t2i_256.yaml")
    stage = config.build(experiment("video").Config, tree)
    console = Console(highlight=False)
    console.print(parameter_table(stage))
    costs = list(step_costs(stage))
    console.print(step_table(stage, costs))


def parameters(stage: video.Config) -> dict[str, int]:
    """Parameters by part of what is trained: the transformer's, and the text network's."""
    with torch.device("meta"):
        counts = parameters_by_part(MediaTransformer(stage.transformer))
        text = (
            ProjectedText(stage.encoders, stage.transformer.context_dim)
            if stage.encoders
            else ByteEncoder(stage.text)
        )
    return counts | {"text": sum(p.numel() for p in text.parameters())}


def text_tokens(stage: video.Config) -> int:
    """The longest text that cross-attention reads."""
    if stage.encoders:
        return 1 + sum(each.max_tokens for each in stage.encoders.values())
    return stage.text.max_tokens


def step_costs(stage: video.Config) -> Iterator[StepCost]:
    """Every bucket of every stream.

    Raises:
        UserError: a budget holds no sample, or a bucket has more tokens than the position tables.
    """
    for name, stream in sorted(stage.data.streams.items()):
        for bucket in buckets(stream):
            _check_positions(stage, bucket)
            tokens = bucket.num_tokens(stage.data.token_size)
            samples = stream.samples(bucket, stage.data.token_size)
            flops = samples * training_flops(stage.transformer, tokens, text_tokens(stage))
            yield StepCost(name, bucket.name, samples, tokens, flops)


def buckets(stream: StreamConfig) -> list[Bucket]:
    """The buckets that a stream names, or those of its data set; none where there is no data set yet."""
    names = list(stream.buckets)
    if not names and (Path(stream.path) / "dataset.json").is_file():
        names = sorted(read_info(stream.path).buckets)
    wanted = {"all": (True, False), "videos": (False,), "images": (True,)}[stream.frames]
    return [b for b in map(Bucket.parse, names) if b.is_image in wanted]


def _check_positions(stage: video.Config, bucket: Bucket) -> None:
    sizes = (bucket.num_frames, bucket.height, bucket.width)
    tables = zip("THW", sizes, stage.data.token_size, stage.transformer.max_positions, strict=True)
    for axis, size, unit, most in tables:
        needed = -(-size // unit)
        if needed > most:
            raise UserError(
                f"transformer.max_positions: bucket {bucket.name} needs {needed} along {axis}, got {most}"
            )


def parameter_table(stage: video.Config) -> Table:
    """Parameters by part with their share."""
    table = Table("part", "parameters", "share", title=f"{stage.name}: what is trained")
    counts = parameters(stage)
    total = sum(counts.values())
    for part, count in [*counts.items(), ("total", total)]:
        table.add_row(part, f"{count:,}", f"{count / total:.1%}")
    return table


def step_table(stage: video.Config, costs: list[StepCost]) -> Table:
    """Tokens and operations of a step for each bucket, and of the stage if steps take buckets evenly."""
    columns = ("stream", "bucket", "samples", "tokens each", "tokens/step", "FLOPs/step")
    table = Table(*columns, title=f"{stage.train.max_steps:,} steps, text of {text_tokens(stage)} tokens")
    for c in costs:
        sizes = (f"{c.samples:,}", f"{c.tokens:,}", f"{c.samples * c.tokens:,}", f"{c.flops:.2e}")
        table.add_row(c.stream, c.bucket, *sizes)
    weights = {name: stream.weight for name, stream in stage.data.streams.items()}
    flops = tokens = 0.0
    for name in {c.stream for c in costs}:
        own = [c for c in costs if c.stream == name]
        share = weights[name] / sum(weights.values()) * stage.train.max_steps / len(own)
        flops += share * sum(c.flops for c in own)
        tokens += share * sum(c.samples * c.tokens for c in own)
    if costs:
        table.add_row("stage", "in all", "", "", f"{tokens:.2e}", f"{flops:.2e}")
    else:
        table.caption = "no buckets named and no data set there yet: give data.streams.NAME.buckets"
    return table


if __name__ == "__main__":
    sys.exit(cli.run(main))
