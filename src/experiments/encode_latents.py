"""Encode a prepared data set once: posterior moments (not samples), keyed by content and encoder."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from rich.console import Console
from torch import Tensor

from src.core.errors import UserError
from src.core.launch import global_rank, is_first_rank, world_size
from src.core.progress import progress
from src.core.ray_tasks import run_tasks
from src.experiments.config import EncodeLatentsConfig
from src.experiments.encode_audio import AudioEncoder, embeddings
from src.inference.device import resolve_device
from src.models.tae.config import TilingConfig
from src.models.tae.model import TAE
from src.models.tae.posterior import Posterior
from src.models.tae.tiling import encode_tiled
from src.models.text.frozen_encoder import FrozenEncoder
from src.parallel.process_group import barrier, gather_objects, joined_processes, on_first_rank
from src.runs import latents, loading, run_directory
from src.streaming.collate import with_fps
from src.streaming.pixels import from_uint8
from src.streaming.reader import Dataset
from src.streaming.schema.bucket import Bucket, Kind
from src.streaming.schema.cache_keys import latent_key
from src.streaming.schema.part_writer import Rejection, write_part
from src.streaming.schema.records import ClipRecord, LatentRecord
from src.streaming.schema.writer import LatentWriter
from src.training import precision

PART_SIZE = 512
MAX_DEATHS = 5  # of workers of a cluster with the same part


@dataclass(frozen=True)
class Encoders:
    """The TAE or the audio codec with its image tower, the text encoders, and the key of TAE or codec."""

    tae: TAE | None
    audio: AudioEncoder | None
    texts: dict[str, FrozenEncoder]
    key: str


def load_encoders(config: EncodeLatentsConfig) -> Encoders:
    """Load all encoders onto the config's device."""
    device = resolve_device(config.device)
    texts = latents.load_text_encoders(config.encoders, device)
    if config.codec:
        codec, key = loading.load_codec(Path(config.codec))
        vision = latents.load_vision(config.vision) if config.vision.path else None
        if vision:
            vision.model.to(device)
        audio = AudioEncoder(codec.to(device), vision, texts, config.flags_captions)
        return Encoders(None, audio, texts, key)
    tae, key = loading.load_autoencoder(Path(config.tae))
    try:
        config.tiling.check(tae.config)
    except ValueError as error:
        raise UserError(f"tiling.{error}") from error
    return Encoders(tae.to(device), None, texts, key)


def run(config: EncodeLatentsConfig) -> None:
    """Encode every split; the processes of torchrun or srun take parts in round-robin order."""
    run_dir = Path(config.run_dir)
    if config.engine == "ray" and world_size() > 1:
        raise UserError(f"engine=ray starts its own tasks: use one process, not {world_size()}")
    with (
        run_directory.locked_run_dir(run_dir, config, compare=not config.overwrite),
        joined_processes(resolve_device(config.device).type),
    ):
        encoders = load_encoders(config)
        splits = [p.parent.name for p in sorted(Path(config.data).glob("*/dataset.json"))]
        if "train" not in splits:
            raise UserError(f"data={config.data}: no prepared data set there (train/dataset.json is missing)")
        for split in splits:
            encode_split(config, encoders, split, run_dir / split)


def provenance_of(config: EncodeLatentsConfig, encoders: Encoders, dataset: Dataset) -> dict[str, Any]:
    """Return what a split's latents are made of, and the key of all encoders (`encoder`)."""
    kind = "codec" if config.codec else "tae"
    found: dict[str, Any] = {"pixels": str(dataset.root), kind: config.codec or config.tae}
    found[f"{kind}_key"] = encoders.key
    vision = encoders.audio.vision.fingerprint() if encoders.audio and encoders.audio.vision else ""
    cuts = isinstance(encoders.tae, TAE)
    tiling = latents.cut_tiling(config.tiling, dataset.buckets) if cuts else {}
    texts = {name: each.config for name, each in encoders.texts.items()}
    found["encoder"] = latents.encoders_key(
        encoders.key,
        texts,
        config.first_frames,
        vision=vision,
        flags_captions=config.flags_captions,
        tiling=tiling,
    )
    stored: dict[str, Any] = {
        "vision": asdict(config.vision) if vision else None,
        "flags_captions": config.flags_captions,
        "text": {name: asdict(each) for name, each in texts.items()},
        "first_frames": config.first_frames,
        "tiling": tiling,
    }
    return found | {name: value for name, value in stored.items() if value}


def encode_split(config: EncodeLatentsConfig, encoders: Encoders, split: str, out: Path) -> None:
    """Encode one split in parts; parts that exist already are kept."""
    dataset = Dataset(Path(config.data) / split)
    provenance = provenance_of(config, encoders, dataset)
    key = latent_key(dataset.info.content, provenance["encoder"])
    parts = dataset.parts(PART_SIZE)
    kind: Kind = "audio_latents" if config.codec else "latents"
    writer = LatentWriter(out, key, kind=kind, overwrite=config.overwrite, leader=is_first_rank())
    with ExitStack() as stack:
        on_first_rank(lambda: stack.enter_context(writer))
        if not writer.leader:
            stack.enter_context(writer)
        # The first process's list: another one may have written a part before the last one looks.
        missing = cast(list[int], gather_objects(writer.missing(len(parts)))[0])
        encode_missing(config, encoders, dataset, writer, missing, split)
        barrier()
        on_first_rank(lambda: writer.finish(len(parts), provenance))
    if not is_first_rank():
        return
    if num_rejected := len((out / "rejected.jsonl").read_text(encoding="utf-8").splitlines()):
        Console(highlight=False).print(
            f"{num_rejected} records without audio left out: {out / 'rejected.jsonl'}"
        )


def encode_missing(
    config: EncodeLatentsConfig,
    encoders: Encoders,
    dataset: Dataset,
    writer: LatentWriter,
    missing: list[int],
    split: str,
) -> None:
    """Encode this process's parts of those that are missing; the first process shows its progress."""
    parts, out = dataset.parts(PART_SIZE), writer.root
    own_parts = missing[global_rank() :: world_size()] if world_size() > 1 else missing
    if not is_first_rank():
        for number in own_parts:
            encode_part(config, encoders, dataset, out, number, writer.chunk_bytes, lambda count: None)
        return
    todo = sum(parts[n][2] - parts[n][1] for n in own_parts)
    done = sum(stop - start for _, start, stop in parts) - todo if world_size() == 1 else 0
    with progress(f"encode {split}", done + todo, done) as advance:
        if config.engine == "ray":
            threads = torch.get_num_threads()
            tasks = [PartTask(config, split, out, n, writer.chunk_bytes, threads) for n in own_parts]
            run_tasks(encode_task, tasks, address=config.ray_address, retry=retry_task, done=advance)
        else:
            for number in own_parts:
                encode_part(config, encoders, dataset, out, number, writer.chunk_bytes, advance)


def encode_part(
    config: EncodeLatentsConfig,
    encoders: Encoders,
    dataset: Dataset,
    out: Path,
    number: int,
    chunk_bytes: int,
    advance: Callable[[int], None],
) -> None:
    """Encode one part of a split; it appears complete or not at all."""
    bucket, start, stop = dataset.parts(PART_SIZE)[number]
    with write_part(out, number, chunk_bytes) as part:
        for first in range(start, stop, config.batch_size):
            indices = range(first, min(first + config.batch_size, stop))
            if encoders.audio is not None:
                for item in encoders.audio.encode(dataset, bucket, indices, config.precision):
                    part.reject(item) if isinstance(item, Rejection) else part.add(item)
            else:
                assert encoders.tae is not None
                for record in encode(encoders.tae, encoders.texts, dataset, bucket, indices, config):
                    part.add(record)
            advance(len(indices))


@dataclass(frozen=True)
class PartTask:
    """A part to encode on a cluster.

    `num_threads` are those of the process that submits it: sums depend on how threads cut them, and latents
    must not.
    """

    config: EncodeLatentsConfig
    split: str
    out: Path
    number: int
    chunk_bytes: int
    num_threads: int
    num_deaths: int = 0


_encoders: dict[str, Encoders] = {}  # of this process, by the config that they were loaded for


def encode_task(task: PartTask) -> int:
    """Encode a part in a worker of a cluster; return its number of records."""
    torch.set_num_threads(task.num_threads)
    name = str(task.config)
    if name not in _encoders:
        _encoders.clear()
        _encoders[name] = load_encoders(task.config)
    dataset = Dataset(Path(task.config.data) / task.split)
    counts: list[int] = []
    encode_part(task.config, _encoders[name], dataset, task.out, task.number, task.chunk_bytes, counts.append)
    return sum(counts)


def retry_task(task: PartTask) -> list[PartTask]:
    """Return the task for another worker; UserError where several have died of it."""
    if task.num_deaths == MAX_DEATHS:
        raise UserError(f"{task.out}: {MAX_DEATHS} workers died while encoding part {task.number}")
    return [replace(task, num_deaths=task.num_deaths + 1)]


@torch.inference_mode()
def encode(
    model: TAE,
    texts: dict[str, FrozenEncoder],
    dataset: Dataset,
    bucket: str,
    indices: range,
    config: EncodeLatentsConfig,
) -> list[LatentRecord]:
    """Encode some clips of one bucket into latent records."""
    records = [dataset.pixels(bucket, i) for i in indices]
    device, tiling = next(model.parameters()).device, config.tiling
    video_BCTHW = from_uint8(torch.stack([r.video_TCHW for r in records]).to(device).transpose(1, 2))
    with precision.autocast(precision.resolve(config.precision, device.type), device.type):
        posterior = encode_video(model, video_BCTHW, tiling)
        firsts = None
        if config.first_frames:
            firsts = encode_video(model, video_BCTHW[:, :, :1], tiling).mean_BCTHW.half().cpu()
    moments = torch.cat([posterior.mean_BCTHW, posterior.std_BCTHW], 1).half().cpu()
    return [
        LatentRecord(
            id=record.id,
            moments_2CTHW=moments[i].clone(),
            bucket=Bucket.parse(bucket),
            fps=record.fps,
            captions=record.captions,
            facts=record.facts,
            source=record.source,
            content_sha256=record.content_sha256,
            first_C1HW=None if firsts is None else firsts[i].clone(),
            text={name: embeddings(each, record.id, video_captions(record)) for name, each in texts.items()},
        )
        for i, record in enumerate(records)
    ]


def encode_video(model: TAE, video_BCTHW: Tensor, tiling: TilingConfig) -> Posterior:
    """Return the posterior of videos, tile by tile; published autoencoders take them in one piece."""
    if isinstance(model, TAE):
        return encode_tiled(model, video_BCTHW, tiling)
    return model.encode(video_BCTHW)


def video_captions(record: ClipRecord) -> list[str]:
    """Return a record's captions as the video model reads them."""
    return [c if record.bucket.is_image else with_fps(c, record.fps) for c in record.captions]
