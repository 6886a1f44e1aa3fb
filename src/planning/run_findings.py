"""Findings about a run's data sets, paths and memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from src.core.errors import UserError
from src.planning.findings import GB, MIN_FREE_GB, Finding, split_message
from src.planning.memory import peak_memory
from src.planning.mesh import Mesh, RankLoad
from src.planning.workload import Workload, workload
from src.runs.audio_config import AudioRunConfig
from src.runs.config import VideoRunConfig
from src.streaming.media_loaders import MediaLoaders


def check_paths(config: Any) -> Iterator[Finding]:
    """Look for the files and folders that a config names."""
    named = {"start_from": getattr(config, "start_from", ""), "tae": getattr(config, "tae", "")}
    named |= {f"encoders.{k}.path": each.path for k, each in getattr(config, "encoders", {}).items()}
    for key, path in named.items():
        if path and not Path(path).exists():
            yield Finding("error", f"{key}={path}: not found", f"make it first, or give another {key}=...")


def check_data(config: Any) -> Iterator[Finding]:
    """Open the data sets, and compare buckets and batches with the processes that share them."""
    parallel = config.train.parallel
    try:
        loaders = MediaLoaders(
            config.data, config.train.seed, num_steps=1, rank=0, world_size=parallel.num_data_ranks
        )
        loaders.sampler()
        loaders.val_dataloader()
    except UserError as error:
        what, advice = split_message(error)
        yield Finding("error", what, advice or "prepare it: docs/data.md")
        return
    for name, stream in config.data.streams.items():
        info = loaders.dataset(stream.path).info
        yield Finding("ok", f"data.streams.{name}: {info.records:,} records of {info.kind} in {stream.path}")


def checkpoint_gb(config: Any) -> float:
    """Return the size of the checkpoints that a run keeps, and one more while it is written."""
    if not isinstance(config, VideoRunConfig | AudioRunConfig):
        return MIN_FREE_GB
    work = workload(config)
    bytes_each = 12.0 + (4.0 if config.train.ema_decay else 0.0)
    return max(MIN_FREE_GB, (config.train.keep_checkpoints + 1) * bytes_each * work.num_params / GB)


def check_memory(config: VideoRunConfig | AudioRunConfig, available_gb: float) -> Iterator[Finding]:
    """Compare the planned peak of a step with a GPU's memory."""
    work = workload(config)
    if not work.batches:
        yield Finding(
            "warning", "memory not planned: no buckets are known", "prepare the data, or name buckets"
        )
        return
    parallel = config.train.parallel
    mesh = Mesh(*parallel.mesh_shape)
    peak, bucket = max(_peaks(work, mesh), key=lambda each: each[0])
    what = f"{peak / GB:.1f} GB planned for bucket {bucket}, a GPU has {available_gb:.1f} GB"
    if peak / GB > 0.93 * available_gb:
        advice = (
            "python -m src.plan with this config shows what fits: num_micro_batches, checkpointing, more GPUs"
        )
        yield Finding("error", what, advice)
    else:
        yield Finding("ok", what)


def _peaks(work: Workload, mesh: Mesh) -> Iterator[tuple[float, str]]:
    for batch in work.batches:
        load = RankLoad.of(batch.num_samples, mesh, work.train.num_micro_batches)
        yield peak_memory(work, mesh, load, batch.tokens_each).total, batch.cost.bucket
