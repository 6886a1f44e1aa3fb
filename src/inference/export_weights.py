"""Export the weights of a run to one safetensors file."""

import math
from pathlib import Path
from typing import Any

from rich.console import Console

from src.core import config
from src.core.errors import UserError
from src.core.hashing import file_sha256
from src.inference import run_defaults
from src.inference.config import ExportConfig
from src.parallel import safetensors_io
from src.parallel.safetensors_io import header_entry, stored_dtype, write_tensors
from src.parallel.weight_source import WeightSource
from src.runs import loading
from src.runs.config import VideoRunConfig
from src.training.checkpoint_paths import CHECKPOINT_NAME, checkpoint_step, find_checkpoint
from src.training.config import Use


def export(settings: ExportConfig) -> Path:
    """Write the file, reading one tensor at a time; return its path.

    A TAE or codec that is rounded to bf16 keeps the key of its latents, which are the same up to rounding.

    Raises:
        UserError: no such run, a run of another kind, or an existing file.
    """
    run = Path(settings.run)
    out = Path(settings.out or f"{loading.run_folder(run)}{safetensors_io.SUFFIX}")
    if out.suffix != safetensors_io.SUFFIX:
        raise UserError(f"out={settings.out}: must end in {safetensors_io.SUFFIX}")
    checkpoint, text = find_checkpoint(run), loading.read_config_text(run)
    if checkpoint.suffix == safetensors_io.SUFFIX:
        raise UserError(f"run={run}: is exported already")
    kind = config.read_text(text).get("experiment")
    if kind not in ("tae", "codec", "video", "audio"):
        raise UserError(f"run={run}: expected a tae, codec, video or audio run, got {kind}")
    source = WeightSource(checkpoint, settings.use)
    types = {
        name: (source.shape(name), stored_dtype(source.shape(name), source.dtype(name), settings.dtype))
        for name in source
    }
    step = checkpoint_step(checkpoint) if CHECKPOINT_NAME.fullmatch(checkpoint.name) else 0
    header = safetensors_io.Header(
        config=text,
        use=settings.use,
        step=step,
        source=str(checkpoint),
        dtype=settings.dtype,
        **_entries(kind, run, checkpoint, settings.use),
    )
    write_tensors(out, types, source.__getitem__, header_entry(header))
    num_values = sum(math.prod(shape) for shape, _ in types.values())
    Console(highlight=False).print(
        f"{out}: {len(types)} tensors, {num_values:,} values, {settings.use} weights of {checkpoint}, "
        f"{settings.dtype}, {out.stat().st_size / 1e6:.1f} MB, sha256 {file_sha256(out)}",
        soft_wrap=True,
    )
    return out


def _entries(kind: str, run: Path, checkpoint: Path, use: Use) -> dict[str, Any]:
    """Return the header's entries that depend on the kind of run."""
    if kind == "video":
        return _video_entries(run, checkpoint)
    if kind == "audio":
        return {"codec_key": loading.stored_key(checkpoint, "codec")}
    load = loading.load_tae if kind == "tae" else loading.load_codec
    return {f"{kind}_key": load(run, use)[1]}


def _video_entries(run: Path, checkpoint: Path) -> dict[str, Any]:
    stage = loading.load_run_config(VideoRunConfig, run)
    buckets = run_defaults.trained_buckets(stage)
    largest = max(buckets, key=run_defaults.bucket_size) if buckets else None
    return {
        "tae_key": loading.stored_key(checkpoint),
        "buckets": tuple(bucket.name for bucket in buckets),
        "fps": run_defaults.trained_fps(stage, largest) if largest else 0.0,
    }
