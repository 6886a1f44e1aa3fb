"""Encode a prepared data set once: posterior moments (not samples), keyed by content and encoder."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from src.core.errors import UserError
from src.core.progress import progress
from src.core.ray_tasks import run_tasks
from src.experiments.config import EncodeLatentsConfig
from src.experiments.encode_audio import AudioEncoder, embeddings
from src.models.tae.model import TAE
from src.models.text.frozen_encoder import FrozenEncoder
from src.parallel.fsdp import CPU
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
    """The TAE or the audio codec with its image tower, and the text encoders.

    `keys` are that of TAE or codec alone (`tae_key`, `codec_key`) and that of all (`encoder`).
    """

    tae: TAE | None
    audio: AudioEncoder | None
    texts: dict[str, FrozenEncoder]
    keys: dict[str, str]


def load_encoders(config: EncodeLatentsConfig) -> Encoders:
    texts = latents.load_text_encoders(config.encoders)
    if config.codec:
        codec, key = loading.load_codec(Path(config.codec))
        vision = latents.load_vision(config.vision) if config.vision.path else None
        encoder = latents.encoders_key(
            key, texts, vision=vision.fingerprint() if vision else "", flags_captions=config.flags_captions
        )
        audio = AudioEncoder(codec, vision, texts, config.flags_captions)
        return Encoders(None, audio, texts, {"codec_key": key, "encoder": encoder})
    tae, key = loading.load_tae(Path(config.tae))
    encoder = latents.encoders_key(key, texts, config.first_frames)
    return Encoders(tae, None, texts, {"tae_key": key, "encoder": encoder})


def run(config: EncodeLatentsConfig) -> None:
    """Encode every split."""
    run_dir = Path(config.run_dir)
    with run_directory.locked_run_dir(run_dir, config, compare=not config.overwrite):
        encoders = load_encoders(config)
        splits = [p.parent.name for p in sorted(Path(config.data).glob("*/dataset.json"))]
        if "train" not in splits:
            raise UserError(f"data={config.data}: no prepared data set there (train/dataset.json is missing)")
        for split in splits:
            encode_split(config, encoders, split, run_dir / split)


def encode_split(config: EncodeLatentsConfig, encoders: Encoders, split: str, out: Path) -> None:
    """Encode one split in parts; parts that exist already are kept."""
    dataset = Dataset(Path(config.data) / split)
    key = latent_key(dataset.info.content, encoders.keys["encoder"])
    autoencoder = {"codec": config.codec} if config.codec else {"tae": config.tae}
    provenance: dict[str, Any] = {"pixels": str(dataset.root), **autoencoder, **encoders.keys}
    if config.vision.path:
        provenance["vision"] = asdict(config.vision)
    if config.flags_captions:
        provenance["flags_captions"] = True
    if encoders.texts:
        provenance["text"] = {name: asdict(each.config) for name, each in encoders.texts.items()}
    if config.first_frames:
        provenance["first_frames"] = True
    parts = dataset.parts(PART_SIZE)
    kind: Kind = "audio_latents" if config.codec else "latents"
    with LatentWriter(out, key, kind=kind, overwrite=config.overwrite) as writer:
        missing = writer.missing(len(parts))
        total = sum(stop - start for _, start, stop in parts)
        todo = sum(parts[n][2] - parts[n][1] for n in missing)
        with progress(f"encode {split}", total, total - todo) as advance:
            if config.engine == "ray":
                threads = torch.get_num_threads()
                tasks = [PartTask(config, split, out, n, writer.chunk_bytes, threads) for n in missing]
                run_tasks(encode_task, tasks, address=config.ray_address, retry=retry_task, done=advance)
            else:
                for number in missing:
                    encode_part(config, encoders, dataset, out, number, writer.chunk_bytes, advance)
        writer.finish(len(parts), provenance)
    if num_rejected := len((out / "rejected.jsonl").read_text(encoding="utf-8").splitlines()):
        Console(highlight=False).print(
            f"{num_rejected} records without audio left out: {out / 'rejected.jsonl'}"
        )


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
    video_BCTHW = from_uint8(torch.stack([r.video_TCHW for r in records]).transpose(1, 2))
    with precision.autocast(precision.resolve(config.precision, CPU.type), CPU.type):
        posterior = model.encode(video_BCTHW)
        firsts = model.encode(video_BCTHW[:, :, :1]).mean_BCTHW.half() if config.first_frames else None
    moments = torch.cat([posterior.mean_BCTHW, posterior.std_BCTHW], 1).half()
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


def video_captions(record: ClipRecord) -> list[str]:
    """Return a record's captions as the video model reads them."""
    return [c if record.bucket.is_image else with_fps(c, record.fps) for c in record.captions]
